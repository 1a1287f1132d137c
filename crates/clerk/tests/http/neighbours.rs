//! A tenant at its limit harms no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::Request;
use clerkwork_clerk::Config;
use clerkwork_core::{ApiKey, Role};
use serde_json::json;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::support::{LIMIT, Office, submission, with_key};

/// How many requests the noisy tenant has on the way at each moment.
const LOUD: usize = 16;

fn job(queue: &str, key: &ApiKey, prefer: &'static str) -> Request<axum::body::Body> {
    let body = format!(r#"{{"queue":"{queue}","input":1}}"#);
    let request = submission(&body).header("prefer", prefer);
    with_key(request.body(body.into()).unwrap(), &key.reveal())
}

/// An office with one more queue, which nobody works on, where the noisy tenant has reached its limit
/// and goes on asking. What it is refused with is counted.
struct Noise {
    office: Office,
    refused: Arc<AtomicUsize>,
    _noise: JoinSet<()>,
}

impl Noise {
    async fn with(status: u16, change: impl FnOnce(&mut Config)) -> Self {
        let office = Office::with(|config| {
            config.queues.push("noise".parse().unwrap());
            change(config);
        })
        .await;
        let key = Arc::new(office.key("noisy", Role::Client, &[]).await);
        let refused = Arc::new(AtomicUsize::new(0));
        let mut noise = JoinSet::new();
        for _ in 0..LOUD {
            let (router, key, refused) = (office.router.clone(), key.clone(), refused.clone());
            noise.spawn(async move {
                loop {
                    let request = job("noise", &key, "respond-async");
                    let told = router.clone().oneshot(request).await.unwrap();
                    let told = told.status().as_u16();
                    assert!(told == 202 || told == status, "{told}");
                    refused.fetch_add(usize::from(told == status), Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            });
        }
        let noise = Self {
            office,
            refused,
            _noise: noise,
        };
        noise.more().await;
        noise
    }

    /// Until the noisy tenant has been refused once more.
    async fn more(&self) {
        let before = self.refused.load(Ordering::Relaxed);
        let look = async {
            while self.refused.load(Ordering::Relaxed) == before {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LIMIT, look).await.unwrap();
    }

    /// Another tenant's requests are accepted, held and answered, as if it were alone.
    async fn harms_nobody(self, jobs: usize) {
        let _worker = self.office.echo();
        let key = self.office.key("quiet", Role::Client, &[]).await;
        for _ in 0..jobs {
            let told = self.office.send(job("q", &key, "wait=15")).await;
            assert_eq!(told.status, 200, "{told:?}");
            assert_eq!(told.json()["status"], "succeeded");
        }
        let list = crate::support::request("GET", "/v1/jobs", "");
        let list = self.office.send(with_key(list, &key.reveal())).await.json();
        let jobs_listed = list["jobs"].as_array().unwrap();
        assert_eq!(jobs_listed.len(), jobs);
        assert!(jobs_listed.iter().all(|job| job["queue"] == json!("q")));
        self.more().await;
    }
}

#[tokio::test]
async fn a_tenant_above_its_rate_delays_and_refuses_nobody_else() {
    // The quiet tenant stays within the same rate: a key begins with a second's worth.
    let noise = Noise::with(429, |config| config.rate_submit = Some(10)).await;
    noise.harms_nobody(10).await;
}

#[tokio::test]
async fn a_tenant_with_its_most_unfinished_jobs_leaves_room_to_the_others() {
    let noise = Noise::with(429, |config| config.max_unfinished = Some(20)).await;
    noise.harms_nobody(40).await;
}

#[tokio::test]
async fn a_full_queue_is_full_for_itself_only() {
    let noise = Noise::with(503, |config| config.queue_cap = Some(20)).await;
    noise.harms_nobody(40).await;
}
