//! `webhook-secret`: what signs a tenant's webhooks, shown and rotated in the store.

use clap::{Args, Subcommand};
use clerkwork_core::{TenantName, WebhookSecret};
use serde_json::json;

use super::place::Place;
use crate::exit::{Exit, Failure};
use crate::terminal::{Format, Terminal};

/// Show and rotate the secret that signs a tenant's webhooks, beside running servers
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  clerkwork webhook-secret show --tenant default --store sqlite:clerkwork-data/clerkwork.db
  CLERKWORK_STORE_FILE=store.url clerkwork webhook-secret rotate --tenant acme")]
pub(crate) struct WebhookSecretCommand {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Print the secret; it is made now if there was none
    Show(One),
    /// Make a new secret and print it; the old one signs too for 24 h
    Rotate(One),
}

#[derive(Debug, Args)]
struct One {
    /// The tenant; `default` where there are no keys
    #[arg(long)]
    tenant: TenantName,
    #[command(flatten)]
    place: Place,
}

impl WebhookSecretCommand {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let (one, rotate) = match self.act {
            Act::Show(one) => (one, false),
            Act::Rotate(one) => (one, true),
        };
        let (store, terminal) = one.place.open(true).await?;
        let now = store.now().await.map_err(Failure::of)?;
        let tenant = one.tenant.text();
        let secrets = if rotate {
            store.rotate_webhook_secret(tenant, now).await
        } else {
            store.webhook_secrets(tenant, now).await
        };
        store.close().await;
        let secrets = secrets.map_err(Failure::of)?;
        let Some(newest) = secrets.first() else {
            return Err(Failure::error("the store has no secret; try again"));
        };
        print(terminal, &one.tenant, newest, secrets.len())?;
        if rotate {
            terminal.progress("clerks sign with it within 40 s, and with the old one for 24 h");
        }
        Ok(Exit::Ok)
    }
}

fn print(
    terminal: Terminal,
    tenant: &TenantName,
    newest: &WebhookSecret,
    signing: usize,
) -> Result<(), Failure> {
    match terminal.format {
        Format::Text => terminal.line(&newest.reveal()),
        Format::Json | Format::Jsonl => terminal.json(&json!({
            "tenant": tenant,
            "secret": newest.reveal(),
            "signing": signing,
        })),
        Format::None => Ok(()),
    }
}
