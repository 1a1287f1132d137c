//! API keys: when they are needed, what they are for, and how soon they are heeded.

use std::time::{Duration, Instant};

use axum::http::Request;
use clerkwork_core::{ApiKey, Role, UnixMs};
use clerkwork_store::KnownKey;
use serde_json::Value;

use crate::support::{LIMIT, Office, Told, request, submission, with_key};

async fn as_holder(office: &Office, method: &str, path: &str, key: &ApiKey) -> Told {
    let request = request(method, path, "");
    office.send(with_key(request, &key.reveal())).await
}

async fn submit(office: &Office, queue: &str, key: &ApiKey) -> Told {
    let body = format!(r#"{{"queue":"{queue}","input":1}}"#);
    let request = submission(&body).body(body.into()).unwrap();
    office.send(with_key(request, &key.reveal())).await
}

#[tokio::test]
async fn while_there_are_no_keys_everybody_is_the_default_tenant_and_an_operator() {
    let office = Office::open().await;
    assert_eq!(office.get("/v1/queues").await.status, 200);
    let id = office.job().await;
    // What is no key of ours changes nothing: a proxy may send its own.
    for shown in ["cwk_", &ApiKey::random().reveal()] {
        let read = with_key(request("GET", &format!("/v1/jobs/{id}"), ""), shown);
        assert_eq!(office.send(read).await.status, 200);
    }
    let basic = Request::get("/v1/queues").header("authorization", "Basic eDp5");
    let basic = basic.body(axum::body::Body::empty()).unwrap();
    assert_eq!(office.send(basic).await.status, 200);
    let key = office.key("default", Role::Client, &[]).await;
    let read = as_holder(&office, "GET", &format!("/v1/jobs/{id}"), &key).await;
    assert_eq!(
        read.status, 200,
        "what was submitted before is the default tenant's"
    );
}

#[tokio::test]
async fn with_the_first_key_keys_are_needed_and_a_revoked_one_is_refused_within_20_s() {
    let office = Office::open().await;
    let key = ApiKey::random();
    let known = KnownKey::new(&key, "a".parse().unwrap(), Role::Client, UnixMs(1));
    let desk = office.clerk.desk();
    let begin = Instant::now();
    let until = async |what: &str, key: Option<&ApiKey>| {
        let look = async {
            loop {
                let list = request("GET", "/v1/jobs", "");
                let list = match key {
                    Some(key) => with_key(list, &key.reveal()),
                    None => list,
                };
                if office.send(list).await.status == 401 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, look).await.expect(what);
    };
    assert!(desk.store.add_key(&known).await.unwrap());
    // Nobody uses it: the clerk learns by itself that it is there.
    until("a key is needed", None).await;
    assert_eq!(
        as_holder(&office, "GET", "/v1/jobs", &key).await.status,
        200
    );
    assert!(desk.store.revoke_key(key.id(), UnixMs(2)).await.unwrap());
    until("the key is refused", Some(&key)).await;
    assert!(begin.elapsed() < Duration::from_secs(20));
    // With the last key gone, everything stays shut.
    assert_eq!(office.get("/v1/jobs").await.status, 401);
    assert!(office.clerk.needs_keys());
}

#[tokio::test]
async fn a_new_key_works_at_once_even_where_it_was_tried_with_a_wrong_secret_before() {
    let office = Office::open().await;
    office.key("a", Role::Client, &[]).await;
    let key = office.key("b", Role::Client, &[]).await;
    let forged = key.reveal()[..13].to_owned() + &ApiKey::random().reveal()[13..];
    let told = office
        .send(with_key(request("GET", "/v1/jobs", ""), &forged))
        .await;
    assert_eq!(told.status, 401);
    assert_eq!(
        as_holder(&office, "GET", "/v1/jobs", &key).await.status,
        200
    );
}

#[tokio::test]
async fn each_tenant_has_its_own_jobs_lists_and_idempotency_keys() {
    let office = Office::open().await;
    let (a, b) = (
        office.key("a", Role::Client, &[]).await,
        office.key("b", Role::Operator, &[]).await,
    );
    let keyed = async |key: &ApiKey| {
        let body = r#"{"queue":"q","input":1}"#;
        let request = submission(body).header("idempotency-key", "same");
        let request = request.body(body.into()).unwrap();
        office.send(with_key(request, &key.reveal())).await
    };
    let (first, second) = (keyed(&a).await.id(), keyed(&b).await.id());
    assert_ne!(first, second);
    assert_eq!(keyed(&a).await.id(), first);
    for (key, id) in [(&a, &first), (&b, &second)] {
        let list = as_holder(&office, "GET", "/v1/jobs", key).await.json();
        let ids: Vec<&Value> = list["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| &job["id"])
            .collect();
        assert_eq!(ids, [id]);
    }
}

#[tokio::test]
async fn a_cursor_grants_nothing_to_another_tenant() {
    let office = Office::open().await;
    let mine = office.key("a", Role::Client, &[]).await;
    let theirs = office.key("b", Role::Client, &[]).await;
    for _ in 0..2 {
        assert_eq!(submit(&office, "q", &mine).await.status, 202);
    }
    let list = as_holder(&office, "GET", "/v1/jobs?limit=1", &mine).await;
    let cursor = list.json()["next_cursor"].as_str().unwrap().to_owned();
    let next = format!("/v1/jobs?limit=1&cursor={cursor}");
    let own = as_holder(&office, "GET", &next, &mine).await;
    assert_eq!(own.json()["jobs"].as_array().unwrap().len(), 1);
    let told = as_holder(&office, "GET", &next, &theirs).await;
    assert_eq!(
        (told.status.as_u16(), told.pointers()),
        (400, vec!["/cursor".to_owned()])
    );
}

#[tokio::test]
async fn a_key_for_some_queues_is_for_no_other() {
    let office = Office::with(|config| config.queues.push("r".parse().unwrap())).await;
    let wide = office.key("a", Role::Client, &[]).await;
    let narrow = office.key("a", Role::Client, &["r", "unknown"]).await;
    let told = submit(&office, "q", &narrow).await;
    assert_eq!(
        (told.status.as_u16(), told.problem().as_str()),
        (403, "forbidden")
    );
    // What the key is not for is refused before it is said whether it is there.
    assert_eq!(submit(&office, "nowhere", &narrow).await.status, 403);
    assert_eq!(
        submit(&office, "unknown", &narrow).await.problem(),
        "unknown-queue"
    );
    // And what does not fit is told before either.
    let body = r#"{"queue":"q","input":1,"timeout_s":0}"#;
    let unfit = submission(body).body(body.into()).unwrap();
    let told = office.send(with_key(unfit, &narrow.reveal())).await;
    assert_eq!(
        (told.status.as_u16(), told.pointers()),
        (422, vec!["/timeout_s".to_owned()])
    );
    let own = submit(&office, "r", &narrow).await;
    assert_eq!(own.status, 202);
    assert_eq!(submit(&office, "q", &wide).await.status, 202);
    let listed = async |query: &str, key: &ApiKey| {
        let told = as_holder(&office, "GET", &format!("/v1/jobs{query}"), key).await;
        told.json()["jobs"].as_array().unwrap().len()
    };
    assert_eq!(listed("", &wide).await, 2);
    assert_eq!(listed("", &narrow).await, 1);
    assert_eq!(listed("?queue=r", &narrow).await, 1);
    assert_eq!(listed("?queue=q", &narrow).await, 0);
    let path = format!("/v1/jobs/{}/cancel", own.id());
    assert_eq!(as_holder(&office, "POST", &path, &narrow).await.status, 200);
}

#[tokio::test]
async fn an_operators_key_for_some_queues_changes_no_other() {
    let office = Office::with(|config| config.queues.push("r".parse().unwrap())).await;
    let operator = office.key("a", Role::Operator, &["r"]).await;
    let status = async |method: &str, path: &str| {
        as_holder(&office, method, path, &operator)
            .await
            .status
            .as_u16()
    };
    assert_eq!(status("POST", "/v1/queues/q/purge").await, 403);
    assert_eq!(status("GET", "/v1/queues/q").await, 403);
    assert_eq!(status("PUT", "/v1/queues/new").await, 403);
    assert_eq!(status("POST", "/v1/queues/r/purge").await, 200);
    let queues = as_holder(&office, "GET", "/v1/queues", &operator)
        .await
        .json();
    assert_eq!(queues["queues"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_held_off_and_harms_no_known_one() {
    let office = Office::open().await;
    let key = office.key("a", Role::Client, &[]).await;
    let mut held_off = 0;
    // At once, so that even a slow machine sends more than a second's share.
    let strangers: Vec<_> = (0..400).map(|_| ApiKey::random()).collect();
    let tries = strangers
        .iter()
        .map(|stranger| as_holder(&office, "GET", "/v1/jobs", stranger));
    for told in futures_util::future::join_all(tries).await {
        match told.status.as_u16() {
            // On a busy machine the store may not answer in time.
            401 | 503 => {}
            429 => {
                assert_eq!(told.header("retry-after"), "1");
                assert_eq!(
                    told.json()["type"],
                    "https://iana.org/assignments/http-problem-types#quota-exceeded"
                );
                held_off += 1;
            }
            _ => panic!("{told:?}"),
        }
    }
    assert!(held_off > 0);
    assert_eq!(
        as_holder(&office, "GET", "/v1/jobs", &key).await.status,
        200
    );
}

#[tokio::test]
async fn a_watch_url_lives_for_a_day_and_then_as_long_as_the_record() {
    let office = Office::open().await;
    let id = office.job().await;
    let expiry = |job: &Value| {
        let url = job["watch_url"].as_str().unwrap().to_owned();
        let second = url.split('.').nth(1).unwrap().parse::<i64>().unwrap();
        UnixMs(second * 1000)
    };
    let now = || clerkwork_core::Clock::now(&*office.clerk.desk().clock);
    let before = now();
    let running = expiry(&office.get(&format!("/v1/jobs/{id}")).await.json());
    let earliest = Duration::from_secs(24 * 3600 - 1);
    let latest = Duration::from_secs(24 * 3600);
    let day = before.after(earliest)..=now().after(latest);
    assert!(day.contains(&running), "{running:?} {day:?}");
    let done = office
        .call("POST", &format!("/v1/jobs/{id}/cancel"))
        .await
        .json();
    let until: UnixMs = done["expires_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(expiry(&done).0 / 1000, until.0 / 1000);
}
