//! JSON that harms whoever reads it next: refused, or kept byte for byte.

use axum::body::Body;
use axum::http::Request;

use crate::support::{Office, Told};

/// Room for the largest inputs that can be set.
async fn office() -> Office {
    Office::with(|config| config.max_input = 15 << 20).await
}

async fn submit(office: &Office, input: &[u8]) -> Told {
    let body = [br#"{"queue":"q","input":"#, input, b"}"].concat();
    let request = Request::post("/v1/jobs").header("content-type", "application/json");
    office.send(request.body(Body::from(body)).unwrap()).await
}

async fn is_kept(office: &Office, what: &str, input: &str) {
    let told = submit(office, input.as_bytes()).await;
    assert_eq!(told.status, 202, "{what}: {:?}", told.body);
    let path = format!("/v1/jobs/{}/input", told.id());
    let kept = office.get(&path).await;
    assert!(kept.body == input.as_bytes(), "{what} was changed");
    assert_eq!(kept.header("content-type"), "application/json");
}

fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

/// Keys whose hashes are one in languages whose hash of a text is the sum of its characters by powers of 31.
fn same_hash(bits: u32) -> Vec<String> {
    let letters = |key: u32| (0..bits).map(move |at| if key >> at & 1 == 0 { "Aa" } else { "BB" });
    (0..1u32 << bits)
        .map(|key| letters(key).collect())
        .collect()
}

fn object(keys: impl IntoIterator<Item = String>) -> String {
    let members: Vec<_> = keys.into_iter().map(|key| format!("\"{key}\":0")).collect();
    format!("{{{}}}", members.join(","))
}

#[tokio::test]
async fn json_that_parsers_read_differently_is_kept_byte_for_byte() {
    let office = office().await;
    for (what, input) in [
        ("doubled keys", r#"{"a":1,"a":2,"\u0061":3}"#),
        ("a number beyond floats", "[1e400,-1e400,1e-400]"),
        (
            "2^53 + 1 and 2^64",
            "[9007199254740993,18446744073709551616]",
        ),
        ("ways to write numbers", "[-0,0.10,1E+2,1e0]"),
        ("escaped NUL", r#""a\u0000b""#),
        ("a pair of surrogates", r#""\ud83d\ude00""#),
        ("line separators", "\"\u{2028}\u{2029}\u{202e}\u{feff}\""),
        (
            "a prototype",
            r#"{"__proto__":{"x":1},"constructor":{"prototype":1}}"#,
        ),
        ("markup", "\"</script><!--\""),
        ("blanks", "[ 1 ,\t2\r\n]"),
    ] {
        is_kept(&office, what, input).await;
    }
    let digits = "9".repeat(100_000);
    is_kept(&office, "a number of 100 000 digits", &digits).await;
    is_kept(&office, "100 levels", &nested(100)).await;
}

#[tokio::test]
async fn json_with_very_many_keys_is_kept_and_costs_no_more_than_its_length() {
    let office = office().await;
    let million = object((0..1_000_000).map(|key| format!("k{key}")));
    is_kept(&office, "a million keys", &million).await;
    let same = object(same_hash(16));
    is_kept(&office, "65 536 keys of one hash", &same).await;
}

#[tokio::test]
async fn json_that_no_worker_could_read_is_refused() {
    let office = office().await;
    for (what, input) in [
        ("127 levels", nested(127)),
        ("129 levels", nested(129)),
        ("200 000 levels", nested(200_000)),
        ("200 000 levels without an end", "[".repeat(200_000)),
        ("200 000 objects", r#"{"a":"#.repeat(200_000)),
        ("a high surrogate alone", r#""\ud800""#.into()),
        ("a low surrogate alone", r#""\udc00""#.into()),
        ("surrogates in the wrong order", r#""\udc00\ud800""#.into()),
        ("a surrogate in a key", r#"{"\ud800":1}"#.into()),
        ("a bare NUL", "\"a\0b\"".into()),
        ("a bare line's end", "\"a\nb\"".into()),
        ("no number", "NaN".into()),
        ("a number with a leading zero", "01".into()),
        ("a comment", "/**/1".into()),
        ("a trailing comma", "[1,]".into()),
    ] {
        let told = submit(&office, input.as_bytes()).await;
        assert!(
            [400, 422].contains(&told.status.as_u16()),
            "{what}: {told:?}"
        );
        assert!(told.body.len() < 2_000, "{what}");
    }
    for (what, bytes) in [
        ("an over-long slash", &b"\"\xc0\xaf\""[..]),
        ("a surrogate as bytes", b"\"\xed\xa0\x80\""),
        ("Latin-1", b"\"\xe9\""),
        ("UTF-16", b"\xff\xfe1\0"),
    ] {
        let told = submit(&office, bytes).await;
        assert_eq!(told.problem(), "malformed-request", "{what}: {told:?}");
    }
    let jobs = office.get("/v1/jobs").await.json();
    assert_eq!(jobs["jobs"], serde_json::json!([]));
}
