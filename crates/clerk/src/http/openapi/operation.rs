//! One endpoint as the document describes it.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Map, Value, json};

use crate::http::kind::Kind;

/// One endpoint: what it takes and what it answers.
#[derive(Clone, Debug)]
pub struct Operation {
    method: Method,
    path: &'static str,
    value: Map<String, Value>,
    parameters: Vec<Value>,
    answers: BTreeMap<u16, Value>,
    kinds: Vec<Kind>,
    /// The headers that only refusals of this endpoint have, by status.
    of_refusals: Vec<(u16, &'static [&'static str])>,
}

/// What an answer carries.
pub(super) enum Content {
    /// Nothing.
    Nothing,
    /// JSON of the named schema, with an example.
    Json(&'static str, Value),
    /// Anything: its media type is the job's.
    Bytes,
    /// A text of this media type.
    Text(&'static str),
    /// Server-sent events: no JSON value and no text that is read whole.
    Events,
}

/// What any endpoint may answer.
const ALWAYS: [Kind; 1] = [Kind::Internal];
/// What any endpoint under `/v1` may answer.
const UNDER_V1: [Kind; 5] = [
    Kind::MalformedRequest,
    Kind::Unauthenticated,
    Kind::Forbidden,
    Kind::QuotaExceeded,
    Kind::Unavailable,
];

/// What any answer under `/v1` says to who is let in, where a rate is set.
const RATES: [&str; 2] = ["RateLimit", "RateLimit-Policy"];

impl Operation {
    pub(super) fn new(
        method: Method,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Self {
        let mut value = Map::new();
        value.insert("operationId".to_owned(), id.into());
        value.insert("summary".to_owned(), summary.into());
        let params = path
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split('}').next());
        let operation = Self {
            method,
            path,
            value,
            parameters: params.map(|name| shared("parameters", name)).collect(),
            answers: BTreeMap::new(),
            kinds: Vec::new(),
            of_refusals: Vec::new(),
        };
        let operation = operation.problems(&ALWAYS);
        match operation.path.starts_with("/v1/") {
            true => operation.problems(&UNDER_V1),
            false => operation.with("security", json!([])),
        }
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.value.insert(name.to_owned(), value);
        self
    }

    pub(super) fn tag(self, tag: &'static str) -> Self {
        self.with("tags", json!([tag]))
    }

    pub(super) fn about(self, text: &'static str) -> Self {
        self.with("description", text.into())
    }

    /// Parameters and headers that several endpoints take.
    pub(super) fn takes(mut self, names: &[&str]) -> Self {
        let named = names.iter().map(|name| shared("parameters", name));
        self.parameters.extend(named);
        self
    }

    /// That a job's watch token stands in for a key.
    pub(super) fn watchable(self) -> Self {
        self.with("security", json!([{"key": []}, {"token": []}, {}]))
    }

    /// A query parameter of this endpoint's own.
    pub(super) fn query(mut self, name: &str, about: &str, schema: &Value) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "query", "description": about, "schema": schema,
            "allowEmptyValue": true,
        }));
        self
    }

    pub(super) fn body(self, required: bool, content: &Value) -> Self {
        self.with(
            "requestBody",
            json!({"required": required, "content": content}),
        )
    }

    /// An answer, with headers beside those that every answer has.
    pub(super) fn answer(
        mut self,
        status: u16,
        about: &'static str,
        content: &Content,
        headers: &[&str],
    ) -> Self {
        let mut answer = json!({"description": about, "headers": named_headers(headers)});
        let media = match content {
            Content::Nothing => None,
            Content::Json(schema, example) => Some(json!({
                "application/json": {"schema": reference(schema), "example": example},
            })),
            // The first is for generators that know no other bytes.
            Content::Bytes => Some(json!({
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                "*/*": {},
            })),
            Content::Events => Some(json!({"text/event-stream": {}})),
            Content::Text(kind) => Some(json!({*kind: {"schema": {"type": "string"}}})),
        };
        if let Some(media) = media {
            answer["content"] = media;
        }
        self.answers.insert(status, answer);
        self
    }

    pub(super) fn problems(mut self, kinds: &[Kind]) -> Self {
        self.kinds.extend(kinds);
        self
    }

    /// Headers that this endpoint's problems of this status have beside those of all endpoints'.
    pub(super) fn refusals_have(mut self, status: u16, headers: &'static [&'static str]) -> Self {
        self.of_refusals.push((status, headers));
        self
    }

    /// Its method, in lower case.
    #[must_use]
    pub fn method(&self) -> String {
        self.method.as_str().to_ascii_lowercase()
    }

    /// Its path, with the names of its parameters in braces.
    #[must_use]
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// The object that describes it.
    pub(super) fn value(mut self) -> Value {
        let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
        for kind in self.kinds {
            by_status
                .entry(kind.status().as_u16())
                .or_default()
                .push(kind);
        }
        for (status, kinds) in by_status {
            self.answers.insert(status, refusal(&kinds));
        }
        for (status, headers) in self.of_refusals {
            add_headers(&mut self.answers, status, headers);
        }
        if self.path.starts_with("/v1/") {
            // Who is not let in is not told what is left of anybody's rate.
            let told = self.answers.keys().copied().filter(|status| *status != 401);
            for status in told.collect::<Vec<_>>() {
                add_headers(&mut self.answers, status, &RATES);
            }
        }
        let answers = self.answers.into_iter();
        let answers: Map<String, Value> = answers
            .map(|(status, answer)| (status.to_string(), answer))
            .collect();
        self.value
            .insert("parameters".to_owned(), self.parameters.into());
        self.value.insert("responses".to_owned(), answers.into());
        self.value.into()
    }
}

/// The answer with one of these problems, which have one status.
fn refusal(kinds: &[Kind]) -> Value {
    let about: Vec<String> = kinds
        .iter()
        .map(|kind| format!("`{}`: {}.", kind.uri(), kind.meaning()))
        .collect();
    let examples = kinds.iter().map(|kind| {
        let example = json!({
            "type": kind.uri(),
            "title": kind.title(),
            "status": kind.status().as_u16(),
            "instance": "urn:uuid:0199f3a1-02aa-7000-9c1d-3b1a5e7f0c11",
        });
        (kind.name().to_owned(), json!({"value": example}))
    });
    let examples: Map<String, Value> = examples.collect();
    let headers = match kinds.first().map(|kind| kind.status().as_u16()) {
        Some(401) => named_headers(&["WWW-Authenticate"]),
        Some(426) => named_headers(&["Sec-WebSocket-Version", "Upgrade"]),
        Some(429 | 503) => named_headers(&["Retry-After"]),
        _ => named_headers(&[]),
    };
    json!({
        "description": about.join(" "),
        "headers": headers,
        "content": {"application/problem+json": {
            "schema": reference("Problem"),
            "examples": examples,
        }},
    })
}

fn add_headers(answers: &mut BTreeMap<u16, Value>, status: u16, names: &[&str]) {
    if let Some(answer) = answers.get_mut(&status) {
        for name in names {
            answer["headers"][*name] = shared("headers", name);
        }
    }
}

fn named_headers(names: &[&str]) -> Value {
    let all = ["Cache-Control", "Request-Id", "X-Content-Type-Options"];
    let all = all.iter().chain(names);
    let all: Map<String, Value> = all
        .map(|name| ((*name).to_owned(), shared("headers", name)))
        .collect();
    all.into()
}

fn shared(what: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{what}/{name}")})
}

/// The schema of this name.
pub(super) fn reference(schema: &str) -> Value {
    shared("schemas", schema)
}
