//! `key`: the API keys, made and revoked in the store.

use clap::{Args, Subcommand};
use clerkwork_core::{ApiKey, KeyId, QueueName, Role, TenantName};
use clerkwork_store::KnownKey;
use serde_json::{Value, json};

use super::place::Place;
use super::show::time;
use crate::columns::{Column, line, titles};
use crate::exit::{Exit, Failure};
use crate::terminal::Format;

const COLUMNS: [Column; 7] = [
    Column::words("ID", 8),
    Column::words("TENANT", 16),
    Column::words("ROLE", 8),
    Column::words("CREATED", 24),
    Column::words("REVOKED", 24),
    Column::words("QUEUES", 16),
    Column::words("NOTE", 0),
];

/// Make, list and revoke API keys, beside running servers
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork key create --tenant acme --role client --store sqlite:clerkwork-data/clerkwork.db
  CLERKWORK_STORE_FILE=store.url clerkwork key list
  CLERKWORK_STORE_FILE=store.url clerkwork key revoke 3f1d2c4b")]
pub(crate) struct Key {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Make a key and print it, once
    Create(Create),
    /// List the keys, without their secrets
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Revoke a key for good; clerks heed that within 20 s
    Revoke {
        /// The key's id, as `key list` shows it
        id: KeyId,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// The tenant whose jobs the key may submit, see and change
    #[arg(long)]
    tenant: TenantName,
    /// client: the tenant's jobs; operator: these, and all queues and workers
    #[arg(long)]
    role: Role,
    /// Allow only this queue; again for more [default: all queues]
    #[arg(long = "queue", value_name = "Q")]
    queues: Vec<QueueName>,
    /// A note that `key list` shows
    #[arg(long, value_parser = note)]
    note: Option<String>,
    #[command(flatten)]
    place: Place,
}

impl Key {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        match self.act {
            Act::Create(create) => create.run().await?,
            Act::List { place } => list(place).await?,
            Act::Revoke { id, place } => revoke(id, place).await?,
        }
        Ok(Exit::Ok)
    }
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        self.place.must_print()?;
        let (store, terminal) = self.place.open(true).await?;
        let key = ApiKey::random();
        let now = store.now().await.map_err(Failure::of)?;
        let known = KnownKey {
            queues: self.queues,
            note: self.note,
            ..KnownKey::new(&key, self.tenant, self.role, now)
        };
        let new = store.add_key(&known).await.map_err(Failure::of)?;
        store.close().await;
        if !new {
            return Err(Failure::error("the new key's id is taken: try again"));
        }
        match terminal.format {
            Format::Text => {
                terminal.line(&key.reveal())?;
                terminal.note("this is the only time that the key is shown");
                Ok(())
            }
            Format::Json | Format::Jsonl => {
                let mut object = object(&known);
                object["key"] = json!(key.reveal());
                terminal.json(&object)
            }
            Format::None => Ok(()),
        }
    }
}

async fn list(place: Place) -> Result<(), Failure> {
    let (store, terminal) = place.open(false).await?;
    let keys = store.keys(None).await.map_err(Failure::of)?;
    store.close().await;
    match terminal.format {
        Format::Text => {
            terminal.line(&titles(&COLUMNS))?;
            keys.iter()
                .try_for_each(|key| terminal.line(&in_words(key)))
        }
        Format::Json => {
            let keys: Vec<Value> = keys.iter().map(object).collect();
            terminal.json(&json!({ "keys": keys }))
        }
        Format::Jsonl => keys.iter().try_for_each(|key| terminal.json(&object(key))),
        Format::None => Ok(()),
    }
}

async fn revoke(id: KeyId, place: Place) -> Result<(), Failure> {
    let (store, terminal) = place.open(false).await?;
    let now = store.now().await.map_err(Failure::of)?;
    let known = store.revoke_key(id, now).await.map_err(Failure::of)?;
    store.close().await;
    if !known {
        let sentence = format!("no such key: {id}; `clerkwork key list` shows all");
        return Err(Failure::new(Exit::NotFound, sentence));
    }
    terminal.note(&format!(
        "key {id} is revoked; clerks heed that within 20 s"
    ));
    match terminal.format {
        Format::Json | Format::Jsonl => terminal.json(&json!({ "id": id, "revoked": true })),
        Format::Text | Format::None => Ok(()),
    }
}

/// A key as programs read it, without its secret.
fn object(key: &KnownKey) -> Value {
    json!({
        "id": key.id,
        "tenant": key.tenant,
        "role": key.role,
        "queues": key.queues,
        "note": key.note,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
    })
}

fn in_words(key: &KnownKey) -> String {
    let names: Vec<&str> = key.queues.iter().map(QueueName::as_str).collect();
    let queues = match &*names {
        [] => "all".to_owned(),
        names => names.join(","),
    };
    let cells = [
        key.id.to_string(),
        key.tenant.text().to_string(),
        key.role.to_string(),
        time(key.created_at),
        key.revoked_at.map(time).unwrap_or_default(),
        queues,
        key.note.clone().unwrap_or_default(),
    ];
    line(&COLUMNS, cells)
}

/// One line of visible characters, so that it cannot play tricks on a terminal.
fn note(text: &str) -> Result<String, String> {
    if text.len() > 200 || text.chars().any(char::is_control) {
        return Err("must be one line of at most 200 bytes".to_owned());
    }
    Ok(text.to_owned())
}
