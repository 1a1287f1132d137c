//! The document that describes the interface, and the page that shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use clerkwork_clerk::http::{self, openapi};
use serde_json::{Value, json};

use crate::support::Office;

fn document() -> Value {
    serde_json::from_str(openapi::text()).unwrap()
}

/// A path with something in the place of each parameter.
fn filled(path: &str) -> String {
    let id = "0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69";
    path.replace("{id}", id).replace("{queue}", "q")
}

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(
        kept == document(),
        "the interface has changed: run `cargo run -- openapi > docs/openapi.json`, and look at the \
         difference as a client would"
    );
}

#[test]
fn every_endpoint_is_described_and_nothing_else_is() {
    let served: BTreeSet<(String, &str)> = http::ROUTES
        .iter()
        .map(|route| (route.method.as_str().to_ascii_lowercase(), route.path))
        .collect();
    let operations = openapi::operations();
    let described = operations
        .iter()
        .map(|operation| (operation.method(), operation.path()));
    assert_eq!(described.collect::<BTreeSet<_>>(), served);
}

#[test]
fn what_needs_no_key_says_so_and_a_token_is_taken_where_jobs_are_watched() {
    let document = document();
    for route in http::ROUTES {
        let method = route.method.as_str().to_ascii_lowercase();
        let security = &document["paths"][route.path][method]["security"];
        let expected = match route.access {
            http::Access::Anybody => json!([]),
            http::Access::Watchers => json!([{"key": []}, {"token": []}, {}]),
            http::Access::Clients | http::Access::Operators => Value::Null,
        };
        assert_eq!(*security, expected, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn the_methods_that_are_served_are_those_that_are_described() {
    let office = Office::open().await;
    let mut described: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for operation in openapi::operations() {
        let methods = described.entry(operation.path().to_owned()).or_default();
        methods.insert(operation.method().to_uppercase());
    }
    for (path, mut methods) in described {
        if methods.contains("GET") {
            methods.insert("HEAD".to_owned());
        }
        let told = office.call("FOO", &filled(&path)).await;
        assert_eq!(told.status, 405, "{path}");
        let allowed: BTreeSet<String> = told
            .header("allow")
            .split(',')
            .map(|method| method.trim().to_owned())
            .collect();
        assert_eq!(allowed, methods, "{path}");
    }
}

#[tokio::test]
async fn every_endpoint_answers_with_a_status_and_a_problem_that_is_described() {
    let office = Office::open().await;
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            // `Told::check` looks at the headers that every answer has.
            let told = office.call(&method.to_uppercase(), &filled(path)).await;
            let status = told.status.as_u16().to_string();
            let answer = &operation["responses"][&status];
            assert!(answer.is_object(), "{method} {path}: {status}");
            if told.status.as_u16() >= 400 {
                let examples = &answer["content"]["application/problem+json"]["examples"];
                assert!(
                    examples[told.problem()].is_object(),
                    "{method} {path}: {told:?}"
                );
            }
            if method == "get" {
                let head = office.call("HEAD", &filled(path)).await;
                assert_eq!(head.status, told.status, "HEAD {path}");
                assert!(head.body.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn the_members_of_every_object_are_those_that_are_described() {
    let office = Office::open().await;
    let _worker = office.echo();
    let document = document();
    let described = |schema: &Value| -> BTreeSet<String> {
        let properties = schema["properties"].as_object().unwrap();
        properties.keys().cloned().collect()
    };
    let there = |value: &Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let schemas = &document["components"]["schemas"];
    let id = office.job().await;
    office.call("POST", &format!("/v1/jobs/{id}/cancel")).await;
    let job = office.get(&format!("/v1/jobs/{id}")).await.json();
    assert_eq!(there(&job), described(&schemas["Job"]));
    for part in ["Job", "Queue", "Progress", "Webhook"] {
        let required: Vec<String> =
            serde_json::from_value(schemas[part]["required"].clone()).unwrap();
        let required: BTreeSet<String> = required.into_iter().collect();
        assert_eq!(required, described(&schemas[part]), "{part}");
    }
    let queue = office.get("/v1/queues/q").await.json();
    assert_eq!(there(&queue), described(&schemas["Queue"]));
    let page = office.get("/v1/jobs").await.json();
    assert_eq!(there(&page), described(&schemas["JobPage"]));
    let wrong = office.submit(r#"{"queue":"q"}"#).await.json();
    assert!(there(&wrong).is_subset(&described(&schemas["Problem"])));
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(to)) = members.get("$ref") {
                    found.insert(to.clone());
                }
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for part in ["schemas", "parameters", "headers"] {
        for name in document["components"][part].as_object().unwrap().keys() {
            let reference = format!("#/components/{part}/{name}");
            assert!(found.contains(&reference), "{reference} is not used");
        }
    }
}

#[tokio::test]
async fn the_page_of_the_document_is_served_from_here_and_runs_nothing_else() {
    let office = Office::open().await;
    let page = office.get("/docs").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"));
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    // Beside the policy, nothing on the page may need what the policy forbids.
    assert!(!html.contains("style=") && !html.contains("<style") && !html.contains("://"));
    let mut linked = 0;
    for part in html.split(['"', '\'']) {
        let kind = match part.rsplit_once('.') {
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "json")) => "application/json",
            _ => continue,
        };
        let told = office.get(&format!("/{part}")).await;
        assert_eq!(
            (told.status.as_u16(), told.header("content-type")),
            (200, kind)
        );
        assert_eq!(told.header("x-content-type-options"), "nosniff");
        let text = String::from_utf8(told.body.to_vec()).unwrap();
        for markup in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "://",
        ] {
            assert!(
                kind == "application/json" || !text.contains(markup),
                "{part}: {markup}"
            );
        }
        linked += 1;
    }
    assert_eq!(linked, 3);
}
