//! What others make of the document of the HTTP interface: requests that try it, and clients.

use std::fs;
use std::path::Path;
use std::time::Duration;

use clerkwork_tests::{Kind, System, client_tools, heavy, repository};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

/// The longest that one program may take.
const LIMIT: Duration = Duration::from_secs(300);

async fn succeeds(command: &mut Command) -> String {
    command.kill_on_drop(true);
    let output = timeout(LIMIT, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{command:?} does not end"));
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}:\n{text}\n{complaints}"
    );
    text
}

/// A clerk whose queue `render` answers with what it is given, and a folder for a client of it.
async fn ground(tools: &Path) -> (System, TempDir) {
    let plan = Kind::Embedded.plan().clerk_setting("wait-max", "2s");
    let system = plan.command("render", 2, &["cat"]).start().await;
    let folder = tempfile::tempdir_in(tools).unwrap();
    let document = repository().join("docs/openapi.json");
    fs::copy(document, folder.path().join("openapi.json")).unwrap();
    (system, folder)
}

#[tokio::test]
async fn schemathesis_finds_no_answer_that_the_document_does_not_describe() {
    let _core = heavy().await;
    let Some(tools) = client_tools() else { return };
    let (system, folder) = ground(&tools).await;
    let mut command = Command::new(tools.join("python/bin/schemathesis"));
    command
        // What it keeps for its next run goes with the folder.
        .current_dir(folder.path())
        .arg("--config-file")
        .arg(repository().join("schemathesis.toml"))
        .args(["run", &format!("{}/openapi.json", system.api().base())])
        .args(["--exclude-path-regex", "/events$", "--seed", "7"])
        .args(["--max-examples", "8", "--no-color"])
        .args(["--phases", "examples,coverage,fuzzing"]);
    succeeds(&mut command).await;
}

#[tokio::test]
async fn a_generated_typescript_client_submits_waits_and_reads() {
    let _core = heavy().await;
    let Some(tools) = client_tools() else { return };
    let (system, folder) = ground(&tools).await;
    let bin = tools.join("node_modules/.bin");
    let words = ["openapi.json", "-o", "clerkwork.d.ts"];
    let mut generator = Command::new(bin.join("openapi-typescript"));
    succeeds(generator.args(words).current_dir(folder.path())).await;
    fs::write(folder.path().join("client.ts"), TYPESCRIPT).unwrap();
    let mut compiler = Command::new(bin.join("tsc"));
    let strict = [
        "--strict",
        "--skipLibCheck",
        "--target",
        "es2022",
        "--module",
        "esnext",
    ];
    compiler
        .args(strict)
        .args(["--moduleResolution", "bundler", "client.ts"]);
    succeeds(compiler.current_dir(folder.path())).await;
    let mut program = Command::new("node");
    let program = program.arg("client.js").arg(system.api().base());
    let told = succeeds(program.current_dir(folder.path())).await;
    assert_eq!(told, "succeeded {\"n\":42} {\"n\":42}\n");
}

const TYPESCRIPT: &str = r#"
import createClient from "openapi-fetch";
import type { paths } from "./clerkwork";

declare const process: { argv: string[] };
const client = createClient<paths>({ baseUrl: process.argv[2] });

const submitted = await client.POST("/v1/jobs", {
  params: { header: { "Idempotency-Key": "typescript-1" } },
  body: { queue: "render", input: { n: 42 } },
});
if (!submitted.data) throw new Error(submitted.error.title);
const path = { id: submitted.data.id };
let job = submitted.data;
while (!job.done) {
  const { data, error } = await client.GET("/v1/jobs/{id}", { params: { path, header: { Prefer: "wait=20" } } });
  if (!data) throw new Error(error?.title);
  job = data;
}
const output = await client.GET("/v1/jobs/{id}/output", { params: { path }, parseAs: "text" });
console.log(job.status, JSON.stringify(job.output), output.data);
"#;

#[tokio::test]
async fn a_generated_python_client_submits_waits_and_reads() {
    let _core = heavy().await;
    let Some(tools) = client_tools() else { return };
    let (system, folder) = ground(&tools).await;
    let bin = tools.join("python/bin");
    let mut path = vec![bin.clone()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let mut generator = Command::new(bin.join("openapi-python-client"));
    generator
        .args(["generate", "--path", "openapi.json"])
        .args(["--meta", "none", "--output-path", "clerkwork_api"])
        .env("PATH", std::env::join_paths(path).unwrap());
    let said = succeeds(generator.current_dir(folder.path())).await;
    assert!(!said.contains("WARNING"), "{said}");
    fs::write(folder.path().join("client.py"), PYTHON).unwrap();
    let mut program = Command::new(bin.join("python"));
    let program = program.arg("client.py").arg(system.api().base());
    let told = succeeds(program.current_dir(folder.path())).await;
    assert_eq!(told, "succeeded {'n': 42} {\"n\":42}\n");
}

const PYTHON: &str = r#"
import sys

from clerkwork_api import Client
from clerkwork_api.api.jobs import get_job, get_output, submit_job
from clerkwork_api.models import NewJob

client = Client(base_url=sys.argv[1])
new = NewJob(queue="render", input_={"n": 42})
job = submit_job.sync(client=client, body=new, idempotency_key="python-1")
while not job.done:
    job = get_job.sync(job.id, client=client, prefer="wait=2")
output = get_output.sync(job.id, client=client)
print(job.status, job.output, output.payload.read().decode())
"#;
