//! A small server that answers in a clerk's place, as a test says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

/// The one job that it speaks of.
pub(crate) const ID: &str = "0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69";

/// What it answers.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) media_type: &'static str,
    pub(crate) body: String,
    /// Whether the answer goes on until the client goes.
    pub(crate) goes_on: bool,
}

impl Answer {
    pub(crate) fn json(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            media_type: "application/json",
            body: body.into(),
            goes_on: false,
        }
    }

    pub(crate) fn events(body: &str, goes_on: bool) -> Self {
        Self {
            status: 200,
            media_type: "text/event-stream",
            body: body.to_owned(),
            goes_on,
        }
    }
}

/// Answers each request by its method and path, one after the other; the address.
pub(crate) fn standing_in(answer: impl Fn(&str, &str) -> Answer + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            // Whoever went away is not waited for.
            let _ = serve(socket.unwrap(), &answer);
        }
    });
    url
}

fn serve(mut socket: TcpStream, answer: &impl Fn(&str, &str) -> Answer) -> std::io::Result<()> {
    let mut reader = BufReader::new(socket.try_clone()?);
    let (mut line, mut head) = (String::new(), String::new());
    while reader.read_line(&mut line)? > 2 {
        head += &line.to_ascii_lowercase();
        line.clear();
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.trim().parse().unwrap());
    std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let answer = answer(&method.to_uppercase(), path);
    write!(
        socket,
        "HTTP/1.1 {} X\r\ncontent-type: {}\r\nconnection: close\r\n\r\n{}",
        answer.status, answer.media_type, answer.body
    )?;
    if answer.goes_on {
        reader.read_to_end(&mut Vec::new())?;
    }
    Ok(())
}

/// The job in this state.
pub(crate) fn job(status: &str) -> String {
    let done = !matches!(status, "scheduled" | "queued" | "running");
    let error = match status {
        "failed" => r#"{"type":"urn:x","title":"It broke","detail":"at page 3","attempt":1}"#,
        _ => "null",
    };
    format!(
        r#"{{"id":"{ID}","queue":"q","status":"{status}","done":{done},"attempt":1,"max_attempts":3,"tags":[],"progress":null,"input_type":"application/json","input_size":1,"output":null,"output_type":null,"output_size":null,"output_omitted":false,"error":{error},"created_at":"2026-11-24T10:00:00.004Z","due_at":"2026-11-24T10:00:00.004Z","started_at":null,"finished_at":null,"expires_at":null,"cancel_requested_at":null,"retry_of":null,"retried_as":null,"webhook":null,"trace_id":null,"note":null,"watch_url":null}}"#
    )
}
