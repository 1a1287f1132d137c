//! A page in a real browser.

use std::time::Duration;

use clerkwork_tests::{Browser, Kind};
use reqwest::Url;
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

/// Tells progress and a line, waits for a file, and goes on.
const STEPS: &str = r#"
    where=$(tr -d \")
    echo 'progress 0.25 first half' >&3
    echo 'log info <img src=x onerror=alert(1)>' >&3
    while [ ! -e "$where" ]; do sleep 0.05; done
    echo 'progress 0.75 second half' >&3
    while [ ! -e "$where.end" ]; do sleep 0.05; done
    echo '{"pages": 7}'
"#;

#[tokio::test]
async fn a_page_follows_a_job_through_nginx_while_the_clerk_it_was_connected_to_restarts() {
    let plan = Kind::Fleet.plan();
    let (half, end) = (plan.file("half"), plan.file("half.end"));
    let mut system = plan.shell("steps", 1, STEPS).start().await;
    let front = system.front().await;
    let input = json!(half);
    let answer = front
        .api
        .submit(&json!({"queue": "steps", "input": input}))
        .await;
    let watch = answer
        .watch_url
        .expect("the answer says where to follow the job");
    let mut page = Url::parse(&format!("{}/pages/follow.html", front.api.base())).unwrap();
    page.query_pairs_mut().append_pair("watch", &watch);

    let browser = Browser::start().await;
    browser.open(page.as_str()).await;
    browser.shows("#status", "running", SOON).await;
    browser.shows("#message", "first half", SOON).await;
    let first = browser.text("#log").await;
    assert!(first.contains("<img src=x"), "{first}");

    // Whichever clerk the page is connected to: both restart, one after the other, so that nginx always has one.
    for clerk in 0..2 {
        if clerk == 0 {
            system.clerks[clerk].process.kill().await;
        } else {
            system.clerks[clerk].process.terminate().await;
        }
        system.return_clerk(clerk).await;
    }
    std::fs::write(&half, "").unwrap();
    browser.shows("#message", "second half", SOON).await;
    browser.shows("#connection", "live", SOON).await;
    std::fs::write(&end, "").unwrap();
    browser.shows("#status", "succeeded", SOON).await;
    browser.shows("#connection", "closed", SOON).await;
    let output = browser.text("#output").await;
    assert!(output.contains("\"pages\": 7"), "{output}");
    let errors = browser.console().await;
    assert!(
        !errors.iter().any(|line| line.contains("Uncaught")),
        "{errors:?}"
    );
}
