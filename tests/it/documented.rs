//! The pages of docs: what their console blocks show is what happens.
//!
//! A page's first `clerkwork dev …` line starts its server. In the blocks marked `console`, lines after `$ ` are commands (of one
//! bash, so that variables last), the lines below are what they print. Ids, times and tokens are compared by their form; `…`
//! stands for anything. The folder is like that of whoever has just downloaded this repository, and `python3` has the packages
//! that the page says to install.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use clerkwork_tests::own::free_port;
use clerkwork_tests::{Api, Process, Signal, clerkwork, eventually, python, repository};
use reqwest::Method;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

/// Stands between what two commands print.
const MARK: &str = "---- the next command ----";

/// The longest that a page may take.
const LIMIT: Duration = Duration::from_secs(180);

#[derive(Debug)]
struct Step {
    command: String,
    output: Vec<String>,
}

/// The steps of a page's console blocks.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
            continue;
        }
        if !inside {
            continue;
        }
        match (line.strip_prefix("$ "), line.strip_prefix("> ")) {
            (Some(command), _) => steps.push(Step {
                command: command.to_owned(),
                output: Vec::new(),
            }),
            (None, Some(more)) if steps.last().is_some_and(|step| step.output.is_empty()) => {
                let step = steps.last_mut().unwrap();
                step.command = format!("{}\n{more}", step.command);
            }
            _ => steps.last_mut().unwrap().output.push(line.to_owned()),
        }
    }
    steps
}

/// The words of the page's first line that starts a server, after `clerkwork`.
fn server_of(page: &str) -> String {
    let line = page.lines().find(|line| line.starts_with("clerkwork dev"));
    let line = line.expect("the page says how to start a server");
    let words = line.strip_prefix("clerkwork").unwrap();
    words.to_owned()
}

async fn start(page: &str, folder: &Path) -> (Process, String) {
    let script = format!(
        "exec '{}' {} --listen 127.0.0.1:0",
        clerkwork().display(),
        server_of(page)
    );
    let mut command = Command::new("bash");
    command.args(["-c", &script]).current_dir(folder);
    let mut server = Process::start("dev", command, folder);
    let line = server.line_with("http://").await;
    let (_, address) = line.split_once("http://").unwrap();
    let address = address.split_whitespace().next().unwrap().to_owned();
    if server_of(page).contains("--worker") {
        served(&address).await;
    }
    (server, address)
}

/// Waits until the clerk knows the workers of its queues: how often a job was changed depends on that.
async fn served(address: &str) {
    let api = Api::new(&format!("http://{address}"));
    eventually("all queues are served", LIMIT, async || {
        let known = api.json(Method::GET, "/queues", None).await;
        let queues = known["queues"].as_array()?;
        let idle = |queue: &Value| queue["workers"].as_u64().unwrap_or_default() == 0;
        (!queues.is_empty() && !queues.iter().any(idle)).then_some(())
    })
    .await;
}

/// The addresses of a page, and what they are while it runs: the server's, and one where it may receive.
struct Addresses([(&'static str, String); 2]);

impl Addresses {
    fn new(server: &str) -> Self {
        let receiver = format!("127.0.0.1:{}", free_port());
        Self([
            ("127.0.0.1:8080", server.to_owned()),
            ("127.0.0.1:8000", receiver),
        ])
    }

    /// A command of the page as it is run.
    fn in_use(&self, text: &str) -> String {
        let replace = |text: String, (shown, used): &(&str, String)| text.replace(shown, used);
        self.0.iter().fold(text.to_owned(), replace)
    }

    /// What was printed as the page has it.
    fn as_shown(&self, text: &str) -> String {
        let replace = |text: String, (shown, used): &(&str, String)| text.replace(used, shown);
        self.0.iter().fold(text.to_owned(), replace)
    }
}

/// Puts there what a page finds where it is tried; gives the folder of programs.
fn furnish(folder: &Path) -> std::path::PathBuf {
    symlink(repository().join("docs"), folder.join("docs")).unwrap();
    let programs = folder.join("programs");
    std::fs::create_dir(&programs).unwrap();
    symlink(clerkwork(), programs.join("clerkwork")).unwrap();
    // A link would not do: a Python finds its packages by its own path.
    let own = format!("#!/bin/sh\nexec '{}' \"$@\"\n", python());
    let python = programs.join("python3");
    std::fs::write(&python, own).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&python, executable).unwrap();
    programs
}

async fn run(steps: &[Step], addresses: &Addresses, folder: &Path) -> String {
    let mut script = String::new();
    for step in steps {
        script += &addresses.in_use(&step.command);
        script += &format!("\nprintf '%s\\n' '{MARK}'\n");
    }
    let mut path = vec![furnish(folder)];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    // A pipe would end only with the last program that the page leaves running.
    let printed = folder.join("printed");
    let mut bash = Command::new("bash")
        .args(["-c", &format!("exec 2>&1\n{script}")])
        .current_dir(folder)
        .env("LC_ALL", "C")
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("CLERKWORK_URL", addresses.in_use("http://127.0.0.1:8080"))
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&printed).unwrap())
        // What a page leaves running is ended with its group.
        .process_group(0)
        .spawn()
        .unwrap();
    let _group = Group(bash.id().unwrap().try_into().unwrap());
    let ended = timeout(LIMIT, bash.wait()).await;
    let printed = std::fs::read_to_string(printed).unwrap();
    assert!(ended.is_ok(), "the page's commands end; so far:\n{printed}");
    printed
}

/// Processes that are gone when it is dropped.
struct Group(i32);

impl Drop for Group {
    fn drop(&mut self) {
        // There may be none left.
        let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(self.0), Signal::SIGKILL);
    }
}

/// A word whose form matters, not its value.
fn form_of(word: &str) -> Option<&'static str> {
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = word.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    if lengths == [8, 4, 4, 4, 12] && parts.iter().all(|part| hex(part)) {
        return Some("<id>");
    }
    if word.len() == 32 && hex(word) {
        return Some("<trace>");
    }
    let is_time = word.len() == 24 && word.ends_with('Z') && digits(&word[..4]);
    if is_time && word.as_bytes()[10] == b'T' {
        return Some("<time>");
    }
    word.starts_with("cwt_").then_some("<token>")
}

/// A line in which ids, times and tokens are replaced by their form.
fn plain(line: &str) -> String {
    let line = line.trim_end();
    if line.to_ascii_lowercase().starts_with("date: ") {
        return "date: <time>".to_owned();
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_:.".contains(c);
    let mut plain = String::new();
    let mut word = String::new();
    for c in line.chars().chain(['\n']) {
        if is_word(c) {
            word.push(c);
            continue;
        }
        plain += form_of(&word).unwrap_or(&word);
        word.clear();
        plain.push(c);
    }
    plain.trim_end().to_owned()
}

/// Whether a line is as the page has it.
fn fits(shown: &str, printed: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = printed.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn compare(name: &str, step: &Step, printed: &str) {
    let lines = |text: &[String]| -> Vec<String> {
        let lines: Vec<String> = text.iter().map(|line| plain(line)).collect();
        let end = lines.iter().rposition(|line| !line.is_empty());
        lines[..end.map_or(0, |end| end + 1)].to_vec()
    };
    let printed: Vec<String> = printed.lines().map(str::to_owned).collect();
    let (shown, printed) = (lines(&step.output), lines(&printed));
    let same = shown.len() == printed.len();
    let all = same && shown.iter().zip(&printed).all(|(a, b)| fits(a, b));
    assert!(
        all,
        "{name}: `{}` prints\n{}\nand the page shows\n{}",
        step.command,
        printed.join("\n"),
        shown.join("\n")
    );
}

async fn is_true(name: &str) {
    let page = std::fs::read_to_string(repository().join("docs").join(name)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let steps = steps(&page);
    assert!(!steps.is_empty(), "{name} shows nothing");
    let (_server, address) = start(&page, folder.path()).await;
    let addresses = Addresses::new(&address);
    let printed = run(&steps, &addresses, folder.path()).await;
    let printed = addresses.as_shown(&printed);
    let end = format!("{MARK}\n");
    let mut parts = printed.split(&end);
    for step in &steps {
        compare(name, step, parts.next().unwrap_or_default());
    }
}

macro_rules! pages {
    ($($name:ident = $page:literal),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                is_true($page).await;
            }
        )+

        #[test]
        fn every_page_with_a_console_is_run() {
            let run = [$($page),+];
            for entry in std::fs::read_dir(repository().join("docs")).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let path = repository().join("docs").join(&name);
                if !name.ends_with(".md") {
                    continue;
                }
                let page = std::fs::read_to_string(path).unwrap();
                let shows = page.lines().any(|line| line == "```console");
                assert_eq!(shows, run.contains(&name.as_str()), "{name}");
            }
        }
    };
}

pages! {
    the_http_interface_is_as_its_page_shows = "http-api.md",
    following_live_is_as_its_page_shows = "live-events.md",
    opening_a_socket_is_as_its_page_shows = "websocket.md",
    polling_is_as_its_page_shows = "poll.md",
    waiting_is_as_its_page_shows = "wait.md",
    webhooks_are_as_their_page_shows = "webhooks.md",
}

/// Pages that explain and show no commands of a client.
const EXPLAIN: [&str; 4] = [
    "performance.md",
    "reliability.md",
    "security.md",
    "simulation.md",
];

#[test]
fn every_guide_names_its_server_in_its_first_lines() {
    for entry in std::fs::read_dir(repository().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".md") || EXPLAIN.contains(&name.as_str()) {
            continue;
        }
        let page = std::fs::read_to_string(&path).unwrap();
        let begin: Vec<&str> = page.lines().take(16).collect();
        let begin = begin.join("\n");
        let servers = ["clerkwork dev ", "clerkwork clerk", "getting-started.md"];
        let named = servers.iter().any(|server| begin.contains(server));
        assert!(named || begin.contains("needs no server"), "{name}");
    }
}

#[test]
fn a_page_is_not_true_when_one_word_differs() {
    assert!(fits("a…c", "abc") && fits("a…", "a") && fits("abc", "abc"));
    assert!(!fits("a…c", "abd") && !fits("ab", "abc") && !fits("a…b…c", "a-c"));
    let id = "0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69";
    assert_eq!(plain(&format!("\"{id}\",")), "\"<id>\",");
    assert_eq!(plain("at 2026-11-24T10:00:00.004Z"), "at <time>");
    assert_eq!(plain("\"status\":\"done\""), "\"status\":\"done\"");
}
