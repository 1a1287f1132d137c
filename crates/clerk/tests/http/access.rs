//! Who may use which endpoint: every claim over every line of the route table.

use axum::body::Body;
use axum::http::{Method, Request};
use clerkwork_broker::Envelope;
use clerkwork_clerk::http::{Access, ROUTES, Route};
use clerkwork_core::{ApiKey, Role, UnixMs};
use serde_json::{Value, json};

use crate::support::{Office, Told, request, with, with_key};

/// An office with two tenants, the second with a key for another queue only.
struct Tenants {
    office: Office,
    operator: ApiKey,
    mine: ApiKey,
    theirs: ApiKey,
    narrow: ApiKey,
    revoked: ApiKey,
}

const UNKNOWN: &str = "0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69";

impl Tenants {
    async fn open() -> Self {
        let office = Office::open().await;
        let revoked = office.key("mine", Role::Operator, &[]).await;
        let desk = office.clerk.desk();
        assert!(
            desk.store
                .revoke_key(revoked.id(), UnixMs(2))
                .await
                .unwrap()
        );
        let tenants = Self {
            operator: office.key("mine", Role::Operator, &[]).await,
            mine: office.key("mine", Role::Client, &[]).await,
            theirs: office.key("theirs", Role::Client, &[]).await,
            narrow: office.key("mine", Role::Client, &["other"]).await,
            revoked,
            office,
        };
        let refused = crate::support::LIMIT;
        let look = async {
            while tenants.list(&tenants.revoked).await != 401 {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(refused, look).await.unwrap();
        tenants
    }

    async fn list(&self, key: &ApiKey) -> u16 {
        let list = with_key(request("GET", "/v1/jobs", ""), &key.reveal());
        self.office.send(list).await.status.as_u16()
    }

    /// A job of mine that is done.
    async fn job(&self) -> Value {
        let body = r#"{"queue":"q","input":1,"tags":["red"]}"#;
        let submission = request_of("POST", "/v1/jobs", body);
        let told = self.as_holder(submission, &self.mine).await;
        assert_eq!(told.status, 202, "{told:?}");
        let cancel = request("POST", &format!("/v1/jobs/{}/cancel", told.id()), "");
        let told = self.as_holder(cancel, &self.mine).await;
        assert_eq!(told.json()["status"], "cancelled");
        told.json()
    }

    async fn as_holder(&self, request: Request<Body>, key: &ApiKey) -> Told {
        self.office.send(with_key(request, &key.reveal())).await
    }
}

fn request_of(method: &str, path: &str, body: &str) -> Request<Body> {
    let mut request = request(method, path, body);
    if !body.is_empty() {
        let json = "application/json".parse().unwrap();
        request.headers_mut().insert("content-type", json);
    }
    request
}

/// A request that the endpoint would do.
fn call(route: &Route, id: &str, query: &str) -> Request<Body> {
    let path = route.path.replace("{id}", id).replace("{queue}", "q");
    let body = match (&route.method, route.path) {
        (&Method::POST, "/v1/jobs") => r#"{"queue":"q","input":1}"#,
        (&Method::PATCH, _) => r#"{"paused":false}"#,
        _ => "",
    };
    request_of(route.method.as_str(), &format!("{path}{query}"), body)
}

/// All but the WebSocket, where what is none is told so before 401: its own tests are in `ws.rs`.
fn under_v1() -> impl Iterator<Item = &'static Route> {
    let routes = ROUTES.iter().filter(|route| route.path.starts_with("/v1/"));
    routes.filter(|route| route.path != "/v1/ws")
}

/// What is said of a request byte for byte, without its own id.
fn said(told: &Told) -> (u16, String) {
    let mut headers = told.headers.clone();
    headers.remove("request-id");
    // Which methods a path has is no secret: /openapi.json says it to everybody.
    headers.remove("allow");
    let body = String::from_utf8(told.body.to_vec()).unwrap();
    let body = body.replace(told.header("request-id"), "");
    (told.status.as_u16(), format!("{headers:?} {body}"))
}

#[tokio::test]
async fn nothing_under_v1_is_open_without_a_good_key_and_all_of_it_says_the_same() {
    let tenants = Tenants::open().await;
    let strangers = [
        None,
        Some("nonsense".to_owned()),
        Some(ApiKey::random().reveal()),
        Some(tenants.revoked.reveal()),
        // A known name with another secret.
        Some(tenants.mine.reveal()[..13].to_owned() + &ApiKey::random().reveal()[13..]),
    ];
    let id = tenants.job().await["id"].as_str().unwrap().to_owned();
    let nowhere =
        ["/v1", "/v1/", "/v1/nothing", "/v1/jobs/x/y/z"].map(|path| request("GET", path, ""));
    let wrong = request("PUT", "/v1/jobs", "");
    for stranger in strangers {
        let shown = |request| match &stranger {
            None => request,
            Some(key) => with_key(request, key),
        };
        let mut all = Vec::new();
        for route in under_v1() {
            all.push(tenants.office.send(shown(call(route, &id, ""))).await);
        }
        for request in nowhere.iter().chain([&wrong]) {
            let again = self::request(request.method().as_str(), &request.uri().to_string(), "");
            all.push(tenants.office.send(shown(again)).await);
        }
        let first = said(&all[0]);
        for told in all {
            assert_eq!(told.status, 401, "{told:?}");
            assert_eq!(told.header("www-authenticate"), "Bearer");
            assert_eq!(told.problem(), "unauthenticated");
            assert_eq!(said(&told), first);
        }
    }
    for open in ROUTES
        .iter()
        .filter(|route| route.access == Access::Anybody)
    {
        assert!(!open.path.starts_with("/v1"), "{}", open.path);
        assert_eq!(tenants.office.send(call(open, "", "")).await.status, 200);
    }
}

#[tokio::test]
async fn a_job_that_is_foreign_deleted_unknown_or_misspelt_is_the_same_404_on_every_route() {
    let tenants = Tenants::open().await;
    let deleted = tenants.job().await["id"].as_str().unwrap().to_owned();
    let delete = request("DELETE", &format!("/v1/jobs/{deleted}"), "");
    assert_eq!(tenants.as_holder(delete, &tenants.mine).await.status, 204);
    let mut routes = 0;
    for route in under_v1().filter(|route| route.path.contains("{id}")) {
        let mine = tenants.job().await["id"].as_str().unwrap().to_owned();
        let cases = [
            (&tenants.theirs, mine.as_str()),
            (&tenants.narrow, &mine),
            (&tenants.operator, UNKNOWN),
            (&tenants.mine, &deleted),
            (&tenants.mine, UNKNOWN),
            (&tenants.mine, "misspelt"),
            (&tenants.mine, "%ff"),
        ];
        for (key, id) in cases {
            let told = tenants.as_holder(call(route, id, ""), key).await;
            assert_eq!(told.status, 404, "{route:?} {id} {told:?}");
            let unknown = tenants
                .as_holder(call(route, UNKNOWN, ""), &tenants.mine)
                .await;
            assert_eq!(said(&told), said(&unknown), "{route:?} {id}");
        }
        let own = tenants
            .as_holder(call(route, &mine, ""), &tenants.mine)
            .await;
        assert!(![401, 403, 404].contains(&own.status.as_u16()), "{own:?}");
        routes += 1;
    }
    assert!(routes >= 7);
}

#[tokio::test]
async fn only_operators_use_what_is_for_operators_and_all_others_may_use_the_rest() {
    let tenants = Tenants::open().await;
    for route in under_v1() {
        let for_operators = route.access == Access::Operators;
        for (key, may) in [(&tenants.mine, !for_operators), (&tenants.operator, true)] {
            let id = tenants.job().await["id"].as_str().unwrap().to_owned();
            let told = tenants.as_holder(call(route, &id, ""), key).await;
            if may {
                assert!(
                    ![401, 403].contains(&told.status.as_u16()),
                    "{route:?} {told:?}"
                );
            } else {
                assert_eq!(told.status, 403, "{route:?} {told:?}");
                assert_eq!(told.problem(), "forbidden");
            }
        }
    }
}

#[tokio::test]
async fn a_watch_token_opens_its_job_its_output_and_events_and_nothing_else() {
    let tenants = Tenants::open().await;
    let (mine, other) = (tenants.job().await, tenants.job().await);
    let token = |job: &Value| {
        let url = job["watch_url"].as_str().unwrap();
        let id = job["id"].as_str().unwrap();
        let token = url.strip_prefix(&format!("/v1/jobs/{id}/events?token="));
        token.unwrap().to_owned()
    };
    let (good, others) = (token(&mine), token(&other));
    let id = mine["id"].as_str().unwrap();
    let expired = tenants
        .office
        .clerk
        .desk()
        .watch_seal
        .token(id.parse().unwrap(), UnixMs(1_000));
    for route in under_v1() {
        let told = tenants
            .office
            .send(call(route, id, &format!("?token={good}")))
            .await;
        let opens = route.access == Access::Watchers;
        assert_eq!(told.status == 401, !opens, "{route:?} {told:?}");
        assert_ne!(told.status, 400, "{route:?} {told:?}");
        for bad in [
            others.as_str(),
            &expired,
            "",
            "cwt_1.2.3",
            &good[..good.len() - 1],
        ] {
            let told = tenants
                .office
                .send(call(route, id, &format!("?token={bad}")))
                .await;
            assert_eq!(told.status, 401, "{route:?} {bad} {told:?}");
        }
    }
    let seen = tenants
        .office
        .get(&format!("/v1/jobs/{id}?token={good}"))
        .await;
    assert_eq!(seen.status, 200);
    let seen = seen.json();
    assert_eq!(seen["tags"], json!([]));
    for hidden in ["webhook", "trace_id", "watch_url"] {
        assert_eq!(seen[hidden], Value::Null, "{hidden}");
    }
    // The stream of a job that is done ends with its state.
    let path = format!("/v1/jobs/{id}/events?token={good}");
    let stream = tenants.office.get(&path).await;
    let text = String::from_utf8(stream.body.to_vec()).unwrap();
    assert!(text.contains(r#""tags":[]"#), "{text}");
    assert!(text.contains(r#""watch_url":null"#), "{text}");
    assert_eq!(mine["tags"], json!(["red"]));
    assert_eq!(seen["status"], "cancelled");
}

#[tokio::test]
async fn a_watch_token_reads_the_output_of_a_job_that_succeeded() {
    let tenants = Tenants::open().await;
    let _worker = tenants.office.work(|_| Envelope {
        content_type: Some("image/png".to_owned()),
        body: "png".into(),
        ..Envelope::default()
    });
    let submission = request_of("POST", "/v1/jobs", r#"{"queue":"q","input":1}"#);
    let submission = with(submission, "prefer", "wait=20");
    let job = tenants.as_holder(submission, &tenants.mine).await.json();
    assert_eq!(job["status"], "succeeded");
    let (path, query) = job["watch_url"].as_str().unwrap().split_once('?').unwrap();
    let output = path.replace("/events", "/output");
    let told = tenants.office.get(&format!("{output}?{query}")).await;
    assert_eq!((told.status.as_u16(), &told.body[..]), (200, &b"png"[..]));
    assert_eq!(told.header("content-type"), "image/png");
    assert_eq!(tenants.office.get(&output).await.status, 401);
}
