//! TLS before a plain server, with certificates of an authority that only a test trusts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How a client of PostgreSQL asks for TLS, and the answer that it may begin.
const ASKED: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
const GRANTED: &[u8] = b"S";

/// Who gives out certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

/// A server that speaks TLS and passes on what it is told; ends with the test.
#[derive(Debug)]
pub struct Secure {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    serving: JoinHandle<()>,
}

impl Authority {
    /// A new one, which nobody trusts yet.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority of a test");
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.self_signed(&key).expect("a certificate can be made");
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let authority = Self {
            issuer: Issuer::new(params, key),
            folder,
        };
        std::fs::write(authority.file(), certificate.pem()).expect("the folder is writable");
        authority
    }

    /// The file that makes a program trust it, and nobody else, as `SSL_CERT_FILE`.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// Serves TLS under this name before the server at `plain`.
    pub async fn before(&self, plain: &str, name: &str) -> Secure {
        self.serve(plain, name, false).await
    }

    /// The same before a PostgreSQL, whose clients ask for TLS first.
    pub async fn before_postgres(&self, plain: &str, name: &str) -> Secure {
        self.serve(plain, name, true).await
    }

    async fn serve(&self, plain: &str, name: &str, asked: bool) -> Secure {
        let acceptor = self.acceptor(name);
        let plain = plain.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("there is a free port");
        let port = listener.local_addr().expect("it listens").port();
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, plain) = (acceptor.clone(), plain.clone());
                // It fails where the client refuses the certificate, which is the client's to tell.
                tokio::spawn(async move { pass(client, &acceptor, &plain, asked).await });
            }
        });
        Secure { port, serving }
    }

    fn acceptor(&self, name: &str) -> TlsAcceptor {
        let params = CertificateParams::new([name.to_owned()]);
        let mut params = params.expect("a name can be certified");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer);
        let certificate = certificate.expect("a certificate can be made");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows these versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("the key is the certificate's");
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file: &Path = &self.file();
        f.debug_tuple("Authority").field(&file).finish()
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn pass(
    mut client: TcpStream,
    acceptor: &TlsAcceptor,
    plain: &str,
    asked: bool,
) -> std::io::Result<()> {
    if asked {
        let mut question = [0; ASKED.len()];
        client.read_exact(&mut question).await?;
        if question != ASKED {
            return Ok(());
        }
        client.write_all(GRANTED).await?;
    }
    let mut client = acceptor.accept(client).await?;
    let mut server = TcpStream::connect(plain).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
