//! The PostgreSQL and the RabbitMQ that a fleet runs on, and what it leaves there.

use std::env;
use std::thread;

use reqwest::Url;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::bus::Bus;

/// How many fleets are on the shared PostgreSQL at a time: more would use up the connections that it lets in unless it is told
/// otherwise.
static FLEETS: Semaphore = Semaphore::const_new(4);

/// Where the services answer.
#[derive(Clone, Debug)]
pub struct Services {
    /// A database of the PostgreSQL, by a role that may create more.
    pub postgres: String,
    /// The RabbitMQ.
    pub rabbit: String,
}

/// One fleet's own database and names.
#[derive(Debug)]
pub(crate) struct Ground {
    services: Services,
    pub(crate) database: String,
    pub(crate) prefix: String,
    _place: Option<SemaphorePermit<'static>>,
}

impl Services {
    /// Those of `DATABASE_URL` and `AMQP_URL`, or else the ones on this machine.
    #[must_use]
    pub fn shared() -> Self {
        let or = |name, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
        Self {
            postgres: or("DATABASE_URL", "postgres://root@127.0.0.1:5432/test"),
            rabbit: or("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2F"),
        }
    }

    /// The URL of one database.
    ///
    /// # Panics
    /// When `DATABASE_URL` is no URL.
    #[must_use]
    pub fn store(&self, database: &str) -> String {
        let mut url = Url::parse(&self.postgres).expect("DATABASE_URL is a URL");
        url.set_path(database);
        url.into()
    }

    /// Runs one statement on the PostgreSQL, outside any fleet's database.
    ///
    /// # Panics
    /// When it fails.
    pub async fn sql(&self, statement: &str) {
        run(&self.postgres, statement).await;
    }

    pub(crate) async fn ground(&self, name: &str) -> Ground {
        let shared = self.postgres == Self::shared().postgres;
        let place = match shared {
            true => Some(FLEETS.acquire().await.expect("nobody closes it")),
            false => None,
        };
        self.sql(&format!("CREATE DATABASE {name}")).await;
        Ground {
            services: self.clone(),
            database: name.to_owned(),
            prefix: name.to_owned(),
            _place: place,
        }
    }
}

impl Ground {
    pub(crate) fn store(&self) -> String {
        self.services.store(&self.database)
    }

    pub(crate) fn broker(&self) -> &str {
        &self.services.rabbit
    }

    /// Takes the database and the queues away, in a thread of its own, since dropping cannot wait.
    pub(crate) fn clear(&self, queues: Vec<String>) {
        let services = self.services.clone();
        let (database, prefix) = (self.database.clone(), self.prefix.clone());
        let cleaner = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let drop = format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)");
                if let Err(error) = try_run(&services.postgres, &drop).await {
                    eprintln!("database {database} is left behind: {error}");
                }
                if let Err(error) = Bus::clear(&services.rabbit, &prefix, &queues).await {
                    eprintln!("queues of {prefix} are left behind: {error}");
                }
            });
        });
        if cleaner.join().is_err() {
            eprintln!("database {} and its queues are left behind", self.database);
        }
    }
}

async fn run(url: &str, statement: &str) {
    let done = try_run(url, statement).await;
    done.unwrap_or_else(|error| panic!("PostgreSQL refuses {statement:?}: {error}"));
}

async fn try_run(url: &str, statement: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&mut connection)
        .await?;
    connection.close().await
}
