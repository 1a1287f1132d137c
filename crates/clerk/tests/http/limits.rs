//! Limits: how much a key and a tenant may ask for.

use clerkwork_clerk::Config;
use clerkwork_core::{ApiKey, Role, UnixMs};
use futures_util::future::join_all;

use crate::support::{LIMIT, Office, Told, repeat, request, submission, with_key};

const QUOTA: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

async fn submit(office: &Office, key: Option<&ApiKey>) -> Told {
    let body = r#"{"queue":"q","input":1}"#;
    let request = submission(body).body(body.into()).unwrap();
    office
        .send(match key {
            Some(key) => with_key(request, &key.reveal()),
            None => request,
        })
        .await
}

/// Asks until it is refused. How fast a bucket fills up again is told by the tests of the bucket.
async fn until_refused(ask: impl AsyncFn() -> Told) -> Told {
    let refused = async {
        loop {
            let told = ask().await;
            if told.status == 429 {
                return told;
            }
            assert!(told.status.is_success(), "{told:?}");
        }
    };
    tokio::time::timeout(LIMIT, refused).await.unwrap()
}

/// What the header says is left of this rate.
fn left(told: &Told, name: &str) -> u32 {
    let limit = told.header("ratelimit").to_owned();
    let rest = limit.strip_prefix(&format!("\"{name}\";r=")).unwrap();
    rest.strip_suffix(";t=1").unwrap().parse().unwrap()
}

fn is_quota(told: &Told, policy: &str) {
    assert_eq!(told.status, 429, "{told:?}");
    let problem = told.json();
    assert_eq!(problem["type"], QUOTA);
    assert_eq!(problem["violated-policies"], serde_json::json!([policy]));
    let seconds: u64 = told.header("retry-after").parse().unwrap();
    assert!((1..=2).contains(&seconds));
}

#[tokio::test]
async fn submissions_above_the_rate_of_a_key_are_429_and_the_headers_say_what_is_left() {
    let office = Office::with(|config| config.rate_submit = Some(3)).await;
    let (mine, other) = (
        office.key("a", Role::Client, &[]).await,
        office.key("a", Role::Client, &[]).await,
    );
    let told = submit(&office, Some(&mine)).await;
    assert_eq!(told.status, 202);
    assert_eq!(told.header("ratelimit-policy"), "\"submit\";q=3;w=1");
    assert!(left(&told, "submit") <= 3);
    let told = until_refused(async || submit(&office, Some(&mine)).await).await;
    is_quota(&told, "submit");
    assert_eq!(left(&told, "submit"), 0);
    assert_eq!(
        submit(&office, Some(&other)).await.status,
        202,
        "each key has its own"
    );
    // Nothing else is limited, and nothing else has the headers.
    let list = with_key(request("GET", "/v1/jobs", ""), &mine.reveal());
    let told = office.send(list).await;
    assert_eq!((told.status.as_u16(), told.header("ratelimit")), (200, ""));
    let again = async || submit(&office, Some(&mine)).await;
    repeat("a submission", again, |told| told.status == 202).await;
}

#[tokio::test]
async fn other_requests_have_their_own_rate_and_callers_without_a_key_share_one() {
    let office = Office::with(|config| config.rate_other = Some(2)).await;
    assert!(left(&office.get("/v1/jobs").await, "other") <= 2);
    let told = until_refused(async || office.get("/v1/queues").await).await;
    is_quota(&told, "other");
    let told = submit(&office, None).await;
    assert_eq!((told.status.as_u16(), told.header("ratelimit")), (202, ""));
    for free in ["/healthz", "/readyz"] {
        // The clerk may just have started: then it is not ready yet.
        assert_ne!(office.get(free).await.status, 429, "{free}");
    }
}

#[tokio::test]
async fn what_is_refused_for_another_reason_takes_nothing_of_the_rate_of_submissions() {
    let office = Office::with(|config| config.rate_submit = Some(1)).await;
    for body in ["{", r#"{"queue":"q"}"#, r#"{"queue":"unknown","input":1}"#] {
        let told = office.submit(body).await;
        assert!(
            told.status.is_client_error() && told.status != 429,
            "{told:?}"
        );
    }
    assert_eq!(submit(&office, None).await.status, 202);
    let told = until_refused(async || submit(&office, None).await).await;
    is_quota(&told, "submit");
    // Only what is sound is told that there is nothing left.
    assert_eq!(
        office
            .submit(r#"{"queue":"unknown","input":1}"#)
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn what_is_above_the_rate_is_told_before_there_is_no_room() {
    let office = Office::with(|config| {
        config.rate_submit = Some(1);
        config.queue_cap = Some(0);
    })
    .await;
    let told = submit(&office, None).await;
    assert_eq!(
        (told.status.as_u16(), &*told.problem()),
        (503, "queue-full")
    );
    assert_eq!(told.header("retry-after"), "2");
    let above = async {
        loop {
            let told = submit(&office, None).await;
            if told.status != 503 {
                return told;
            }
        }
    };
    let told = tokio::time::timeout(LIMIT, above).await.unwrap();
    is_quota(&told, "submit");
    assert_eq!(
        office.get("/v1/jobs").await.json()["jobs"],
        serde_json::json!([])
    );
}

#[tokio::test]
async fn without_a_rate_no_answer_has_the_headers() {
    let office = Office::open().await;
    let told = submit(&office, None).await;
    assert_eq!(told.header("ratelimit"), "");
    assert_eq!(told.header("ratelimit-policy"), "");
}

#[tokio::test]
async fn a_tenant_with_its_most_unfinished_jobs_is_429_until_one_is_done_and_others_go_on() {
    let office = Office::with(|config| config.max_unfinished = Some(2)).await;
    let (mine, theirs) = (
        office.key("mine", Role::Client, &[]).await,
        office.key("theirs", Role::Client, &[]).await,
    );
    let first = submit(&office, Some(&mine)).await;
    assert_eq!(first.status, 202);
    let mine_again = async || submit(&office, Some(&mine)).await;
    let refused = until_refused(mine_again).await;
    is_quota(&refused, "unfinished");
    assert_eq!(submit(&office, Some(&theirs)).await.status, 202);
    let list = with_key(request("GET", "/v1/jobs", ""), &mine.reveal());
    let jobs = office.send(list).await.json();
    for job in jobs["jobs"].as_array().unwrap() {
        let path = format!("/v1/jobs/{}/cancel", job["id"].as_str().unwrap());
        let cancel = with_key(request("POST", &path, ""), &mine.reveal());
        assert_eq!(office.send(cancel).await.status, 200);
    }
    repeat("a submission", mine_again, |told| told.status == 202).await;
}

/// Repeats it until it is accepted: a count that is under way when something comes may count that twice.
async fn accepted(office: &Office, path: &str, key: &str, body: &str) -> Told {
    let ask = async || keyed(office, path, key, body).await;
    repeat(path, ask, |told| {
        let status = told.status.as_u16();
        assert!(matches!(status, 202 | 429 | 503), "{told:?}");
        status == 202
    })
    .await
}

async fn keyed(office: &Office, path: &str, key: &str, body: &str) -> Told {
    let mut request = request("POST", path, body);
    let headers = request.headers_mut();
    headers.insert("content-type", "application/json".parse().unwrap());
    headers.insert("idempotency-key", key.parse().unwrap());
    office.send(request).await
}

#[tokio::test]
async fn where_there_is_no_room_a_repeat_is_answered_and_only_what_is_new_is_refused() {
    let cap = |config: &mut Config| config.max_unfinished = Some(3);
    let queue_cap = |config: &mut Config| config.queue_cap = Some(3);
    for (office, full) in [
        (Office::with(cap).await, 429),
        (Office::with(queue_cap).await, 503),
    ] {
        let (one, two) = (r#"{"queue":"q","input":1}"#, r#"{"queue":"q","input":2}"#);
        let batch = format!(r#"{{"jobs":[{one},{two}]}}"#);
        let first = accepted(&office, "/v1/jobs", "one", one).await;
        let both = accepted(&office, "/v1/jobs/batch", "both", &batch).await;
        let again = keyed(&office, "/v1/jobs", "one", one).await;
        assert_eq!(again.json()["id"], first.json()["id"]);
        assert_eq!(again.header("idempotency-replayed"), "true");
        let again = keyed(&office, "/v1/jobs/batch", "both", &batch).await;
        assert_eq!(again.json()["jobs"][1]["id"], both.json()["jobs"][1]["id"]);
        assert_eq!(keyed(&office, "/v1/jobs", "one", two).await.status, 422);
        assert_eq!(keyed(&office, "/v1/jobs", "new", one).await.status, full);
    }
}

#[tokio::test]
async fn a_batch_that_does_not_fit_takes_no_room_from_what_does() {
    let office = Office::with(|config| config.queue_cap = Some(3)).await;
    let job = r#"{"queue":"q","input":1}"#;
    let batch = format!(r#"{{"jobs":[{}]}}"#, [job; 4].join(","));
    assert_eq!(
        keyed(&office, "/v1/jobs/batch", "four", &batch)
            .await
            .status,
        503
    );
    for key in ["a", "b", "c"] {
        let first = accepted(&office, "/v1/jobs", key, job).await;
        let again = keyed(&office, "/v1/jobs", key, job).await;
        assert_eq!((again.status.as_u16(), again.id()), (202, first.id()));
    }
    assert_eq!(keyed(&office, "/v1/jobs", "d", job).await.status, 503);
}

#[tokio::test]
async fn who_is_not_let_in_is_told_so_and_takes_nothing_of_the_rate_of_watchers() {
    let office = Office::with(|config| config.rate_other = Some(1)).await;
    let id = office.job().await;
    office.key("a", Role::Client, &[]).await;
    let job = format!("/v1/jobs/{id}");
    let token = office
        .clerk
        .desk()
        .watch_seal
        .token(id.parse().unwrap(), UnixMs(i64::MAX / 2));
    for _ in 0..3 {
        let told = office.get(&format!("{job}?token=bad")).await;
        assert_eq!((told.status.as_u16(), told.header("ratelimit")), (401, ""));
        // A token opens nothing here.
        let told = office.get(&format!("{job}/input?token={token}")).await;
        assert_eq!(told.status, 401);
    }
    let watched = office.get(&format!("{job}?token={token}")).await;
    assert_eq!(watched.status, 200);
    assert_eq!(watched.header("ratelimit"), "\"other\";r=0;t=1");
}

#[tokio::test]
async fn a_retry_by_hand_is_a_submission_of_the_rate() {
    let office = Office::with(|config| config.rate_submit = Some(1)).await;
    let id = office.job().await;
    let retry = format!("/v1/jobs/{id}/retry");
    let told = office.call("POST", &retry).await;
    assert_eq!(told.status, 409, "what cannot be retried takes nothing");
    assert_eq!(told.header("ratelimit-policy"), "\"submit\";q=1;w=1");
    let cancel = office.call("POST", &format!("/v1/jobs/{id}/cancel")).await;
    assert_eq!(cancel.status, 200);
    let ask = async || office.call("POST", &retry).await;
    let new = repeat(&retry, ask, |told| {
        if told.status == 429 {
            is_quota(told, "submit");
        }
        told.status != 429
    })
    .await;
    assert_eq!(new.status, 202);
    let again = office.call("POST", &retry).await;
    assert_eq!(
        again.json()["id"],
        new.json()["id"],
        "a repeat takes nothing"
    );
}

#[tokio::test]
async fn where_one_key_holds_all_requests_another_still_holds_its_share() {
    let office = Office::with(|config| config.held_max = 100).await;
    let greedy = office.key("a", Role::Client, &[]).await.reveal();
    let modest = office.key("b", Role::Client, &[]).await.reveal();
    let waits = async |key: &str, seconds: u8| {
        let body = r#"{"queue":"q","input":1}"#;
        let submission = submission(body).header("prefer", format!("wait={seconds}"));
        let told = office.send(with_key(submission.body(body.into()).unwrap(), key));
        told.await.header("preference-applied").to_owned()
    };
    let all = join_all((0..100).map(|_| waits(&greedy, 45)));
    let meanwhile = async {
        office.waiters(|count| count == 100).await;
        assert_eq!(waits(&greedy, 45).await, "wait=0");
        assert_eq!(waits(&modest, 1).await, "wait=1");
        let (one, other) = tokio::join!(waits(&modest, 1), waits(&modest, 1));
        assert!(
            one != other,
            "its share is one of a hundred: {one}, {other}"
        );
    };
    tokio::select! {
        () = meanwhile => {}
        ended = all => panic!("they wait for longer: {ended:?}"),
    }
}
