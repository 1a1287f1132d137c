//! `clerk`: a public HTTP server of a fleet.

use clap::Args;
use clerkwork_broker::amqp;
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Failure};
use crate::settings::clerk::ClerkSettings;
use crate::settings::{self, ClerkFlags};
use crate::signals::Signals;
use crate::{layers, listen, logging, services, terminal};

/// Run a clerk of a fleet: HTTP in front, RabbitMQ and PostgreSQL behind
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  CLERKWORK_BROKER_FILE=broker.url CLERKWORK_STORE_FILE=store.url clerkwork clerk --queues render
  clerkwork clerk --listen 0.0.0.0:8080 --config /etc/clerkwork.toml")]
pub(crate) struct Clerk {
    #[command(flatten)]
    settings: ClerkFlags,
}

impl Clerk {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let mut settings = settings::load(self.settings, ClerkSettings::read)?;
        logging::start(std::mem::take(&mut settings.log));
        let signals = Signals::new()?;
        let stop = CancellationToken::new();
        match signals.over(&stop, serve(settings, stop.clone())).await {
            Ok(served) => served.map(|()| Exit::Ok),
            Err(exit) => Ok(exit),
        }
    }
}

async fn serve(settings: ClerkSettings, stop: CancellationToken) -> Result<(), Failure> {
    listen::raise_file_limit();
    let (listener, address) = listen::bind(&settings.listen, "listen")
        .await
        .map_err(Failure::of)?;
    let mut options = amqp::Options::new(&settings.broker, "clerkwork clerk");
    options.queue_type = settings.queue_type;
    let limit = settings.start_timeout;
    let start = async {
        let store = services::store(&settings.store, limit)
            .await
            .map_err(Failure::of)?;
        let broker = services::broker(&options, limit)
            .await
            .map_err(Failure::of)?;
        let keys = store.any_keys().await.map_err(Failure::of)?;
        listen::guard(address, keys).map_err(|error| Failure::usage(error.to_string()))?;
        Ok::<_, Failure>((layers::store(store), layers::broker(broker)))
    };
    let (store, broker) = tokio::select! {
        services = start => services?,
        () = stop.cancelled() => return Ok(()),
    };
    let clerk = clerkwork_clerk::Clerk::start(settings.config, store.clone(), broker.clone());
    let clerk = clerk.await.map_err(Failure::of)?;
    layers::begin();
    terminal::announce(&format!("clerkwork clerk listening on http://{address}"))?;
    let served = clerk.serve(listener, stop).await;
    broker.close().await;
    store.close().await;
    served.map_err(Failure::of)
}
