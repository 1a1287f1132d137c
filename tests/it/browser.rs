//! Pages in a real browser.

use std::time::Duration;

use clerkwork_core::JobObject;
use clerkwork_tests::{Browser, Kind, Site, eventually, heavy, repository};
use reqwest::Url;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

/// Tells progress and a line, waits for a file, and goes on. It repeats what comes then, as workers do: what is told in the
/// moment in which a clerk starts may not reach it.
const STEPS: &str = r#"
    where=$(tr -d \")
    echo 'progress 0.25 first half' >&3
    echo 'log info <img src=x onerror=alert(1)>' >&3
    while [ ! -e "$where" ]; do sleep 0.05; done
    while [ ! -e "$where.end" ]; do echo 'progress 0.75 second half' >&3; sleep 0.1; done
    echo '{"pages": 7}'
"#;

#[tokio::test]
async fn a_page_follows_a_job_through_nginx_while_the_clerk_it_was_connected_to_restarts() {
    let _core = heavy().await;
    let plan = Kind::Fleet.plan();
    let (half, end) = (plan.file("half"), plan.file("half.end"));
    let mut system = plan.shell("steps", 1, STEPS).start().await;
    let front = system.front().await;
    let browser = Browser::start().await;
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

#[tokio::test]
async fn the_page_of_the_interface_shows_every_operation_and_asks_nobody_else() {
    let _core = heavy().await;
    let system = Kind::Embedded.plan().start().await;
    let base = system.api().base().to_owned();
    let (_, document) = system.api().look("/openapi.json").await.unwrap();
    let browser = Browser::start().await;
    // What the browser's own first page had to say.
    browser.console().await;
    browser.open(&format!("{base}/docs")).await;
    let title = document["info"]["title"].as_str().unwrap();
    let version = document["info"]["version"].as_str().unwrap();
    browser
        .shows("h1", &format!("{title} {version}"), SOON)
        .await;

    let mut count = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let summary = operation["summary"].as_str().unwrap();
            assert_eq!(browser.text(&format!("#{id} h3")).await, summary);
            let line = format!("{}{path}", method.to_uppercase());
            assert_eq!(browser.text(&format!("#{id} p code")).await, line);
            assert_eq!(browser.text(&format!("nav a[href='#{id}']")).await, summary);
            count += 1;
        }
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let sections = browser.run("return document.querySelectorAll('main > section').length");
    assert_eq!(sections.await, count + schemas.len());
    let astray = "return [...document.links].filter((link) => link.hash && !document.getElementById(link.hash.slice(1))).length";
    assert_eq!(browser.run(astray).await, 0, "every link leads somewhere");
    let visible = browser.run("return document.querySelector('main section').checkVisibility()");
    assert_eq!(visible.await, true);

    assert_eq!(browser.console().await, Vec::<String>::new());
    let asked = browser.asked_for().await;
    assert!(asked.contains(&format!("{base}/openapi.json")), "{asked:?}");
    let others: Vec<_> = asked
        .iter()
        .filter(|url| !url.starts_with(&format!("{base}/")))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

#[tokio::test]
async fn a_page_of_another_origin_follows_a_job_only_if_the_clerk_names_it() {
    let _core = heavy().await;
    let (named, stranger) = (Site::open().await, Site::open().await);
    let plan = Kind::Embedded.plan();
    let (half, end) = (plan.file("half"), plan.file("half.end"));
    let plan = plan.clerk_setting("cors-origins", named.origin());
    let system = plan.shell("steps", 1, STEPS).start().await;
    let api = system.api();
    let job = api.send("steps", json!(half)).await;
    let watch = format!("{}{}", api.base(), job.watch_url.unwrap());
    let page = |site: &Site| {
        let mut page = Url::parse(&format!("{}/follow.html", site.origin())).unwrap();
        page.query_pairs_mut().append_pair("watch", &watch);
        page
    };
    let browser = Browser::start().await;

    browser.open(page(&stranger).as_str()).await;
    browser.shows("#connection", "closed", SOON).await;
    assert_eq!(browser.text("#status").await, "…");
    assert_eq!(browser.text("#log").await, "");
    let console = browser.console().await.concat();
    assert!(console.contains("blocked by CORS policy"), "{console}");
    // Nor does it get anything in another way.
    let fetch = format!(
        "return fetch({}).then((it) => it.text(), () => 'nothing')",
        json!(watch)
    );
    assert_eq!(browser.run(&fetch).await, "nothing");

    browser.open(page(&named).as_str()).await;
    browser.shows("#status", "running", SOON).await;
    browser.shows("#message", "first half", SOON).await;
    std::fs::write(&half, "").unwrap();
    browser.shows("#message", "second half", SOON).await;
    std::fs::write(&end, "").unwrap();
    browser.shows("#status", "succeeded", SOON).await;
    assert!(browser.text("#output").await.contains("\"pages\": 7"));
}

/// The script that a page of the documentation shows.
fn script_of(page: &str) -> String {
    let page = std::fs::read_to_string(repository().join("docs").join(page)).unwrap();
    let (_, script) = page.split_once("```js\n").unwrap();
    script.split("```").next().unwrap().to_owned()
}

/// Runs a script with what the page says is there; all that it shows is kept.
async fn run(browser: &Browser, script: &str, known: &Value) {
    let known = known.as_object().unwrap().iter();
    let known: String = known
        .map(|(name, value)| format!("const {name} = {value};\n"))
        .collect();
    let show = "window.shown = []; const show = (...what) => window.shown.push(what);\n";
    browser.run(&format!("{show}{known}{script}")).await;
}

/// Waits until the script has shown as much as is wanted.
async fn shown(browser: &Browser, is_enough: impl Fn(&[Value]) -> bool) {
    eventually("the script shows it", SOON, async || {
        let shown = browser.run("return window.shown").await;
        is_enough(shown.as_array()?).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_script_of_the_page_on_live_events_shows_progress_and_ends_with_the_job() {
    let _core = heavy().await;
    let plan = Kind::Embedded.plan();
    let (half, end) = (plan.file("half"), plan.file("half.end"));
    let system = plan.shell("steps", 1, STEPS).start().await;
    let job = system.api().send("steps", json!(half)).await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/docs", system.api().base())).await;
    let script = script_of("live-events.md") + "\nwindow.events = events;";
    run(&browser, &script, &json!({ "job": job })).await;
    let says = |text: &'static str| {
        move |shown: &[Value]| shown.iter().any(|what| what[0]["message"] == text)
    };
    shown(&browser, says("first half")).await;
    std::fs::write(&half, "").unwrap();
    shown(&browser, says("second half")).await;
    std::fs::write(&end, "").unwrap();
    eventually("it closes the stream", SOON, async || {
        let state = browser.run("return window.events.readyState").await;
        (state == 2).then_some(())
    })
    .await;
    assert_eq!(browser.console().await, Vec::<String>::new());
}

#[tokio::test]
async fn the_script_of_the_page_on_sockets_follows_two_jobs_to_their_ends() {
    let _core = heavy().await;
    let plan = Kind::Embedded.plan();
    let (half, end) = (plan.file("half"), plan.file("half.end"));
    let plan = plan.shell("steps", 1, STEPS).command("shout", 1, &["cat"]);
    let system = plan.start().await;
    let api = system.api();
    let jobs = [
        api.send("steps", json!(half)).await,
        api.send("shout", json!("done")).await,
    ];
    let browser = Browser::start().await;
    browser.open(&format!("{}/docs", api.base())).await;
    let script = script_of("websocket.md").replace("127.0.0.1:8080", api.address());
    run(&browser, &script, &json!({ "jobs": jobs })).await;
    let is_state = |job: &JobObject, status: &'static str| {
        let id = job.id.to_string();
        move |shown: &[Value]| {
            let is =
                |what: &Value| what[0] == id && what[1] == "state" && what[2]["status"] == status;
            shown.iter().any(is)
        }
    };
    shown(&browser, is_state(&jobs[0], "running")).await;
    shown(&browser, is_state(&jobs[1], "succeeded")).await;
    std::fs::write(&half, "").unwrap();
    shown(&browser, |shown| {
        let is = |what: &Value| what[1] == "progress" && what[2]["message"] == "second half";
        shown.iter().any(is)
    })
    .await;
    std::fs::write(&end, "").unwrap();
    shown(&browser, is_state(&jobs[0], "succeeded")).await;
}
