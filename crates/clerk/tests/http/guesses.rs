//! Guessing takes no shorter way: what is nearly right is refused in no other time than what is all wrong.

use std::time::Instant;

use clerkwork_core::{ApiKey, Role};

use crate::support::{Office, request, with_key};

/// How often each of two requests is sent.
const TRIES: usize = 1_000;
/// The slowest of each are those that the machine was busy with something else meanwhile.
const KEPT: usize = TRIES * 9 / 10;
/// A difference that needs no statistics. What is smaller is told and fails nothing: a busy machine
/// would make that difference by itself.
const GROSS: f64 = 2.0;

/// What one of two requests took, in microseconds: sorted, without the slowest.
struct Times(Vec<f64>);

impl Times {
    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        times.truncate(KEPT);
        Self(times)
    }

    fn count(&self) -> f64 {
        f64::from(u32::try_from(self.0.len()).unwrap())
    }

    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.count()
    }

    fn variance(&self) -> f64 {
        let mean = self.mean();
        let squares = self.0.iter().map(|time| (time - mean).powi(2));
        squares.sum::<f64>() / (self.count() - 1.0)
    }

    fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }
}

/// Welch's t: above 4.5 the two differ by more than chance.
fn welch(one: &Times, other: &Times) -> f64 {
    let error = one.variance() / one.count() + other.variance() / other.count();
    (one.mean() - other.mean()).abs() / error.sqrt()
}

/// Sends both by turns, which are refused alike, and compares what they took.
async fn take_the_same_time(office: &Office, what: &str, requests: [(&str, &str); 2], status: u16) {
    let mut took = [Vec::new(), Vec::new()];
    for round in 0..TRIES {
        for turn in 0..2 {
            let at = (round + turn) % 2;
            let (path, key) = requests[at];
            let request = with_key(request("GET", path, ""), key);
            let begun = Instant::now();
            let told = office.send(request).await;
            took[at].push(begun.elapsed().as_secs_f64() * 1e6);
            assert_eq!(told.status, status, "{told:?}");
        }
    }
    let [near, far] = took.map(Times::of);
    let (t, ratio) = (welch(&near, &far), near.median() / far.median());
    println!(
        "{what}: {:.1} and {:.1} µs, t = {t:.2}",
        near.median(),
        far.median()
    );
    assert!(
        (1.0 / GROSS..GROSS).contains(&ratio),
        "{what}: {} and {} µs",
        near.median(),
        far.median()
    );
}

/// The key with its last character changed.
fn nearly(key: &ApiKey) -> String {
    let mut text = key.reveal();
    let last = text.pop().unwrap();
    text.push(if last == 'a' { 'b' } else { 'a' });
    text
}

#[tokio::test]
async fn a_key_that_is_right_but_for_its_end_is_refused_in_no_other_time_than_a_wrong_one() {
    let office = Office::open().await;
    let key = office.key("a", Role::Client, &[]).await;
    let near = nearly(&key);
    let far = key.reveal()[..13].to_owned() + &ApiKey::random().reveal()[13..];
    let requests = [("/v1/jobs", near.as_str()), ("/v1/jobs", &far)];
    take_the_same_time(&office, "nearly right and wrong keys", requests, 401).await;
}

#[tokio::test]
async fn a_foreign_job_is_not_there_in_no_other_time_than_one_that_never_was() {
    let office = Office::open().await;
    let foreign = format!("/v1/jobs/{}", office.job().await);
    let unknown = "/v1/jobs/0199f3a0-7c1e-7d11-8a52-3f1d2c4b5a69";
    let key = office.key("theirs", Role::Client, &[]).await.reveal();
    let requests = [(foreign.as_str(), key.as_str()), (unknown, &key)];
    take_the_same_time(&office, "foreign and unknown jobs", requests, 404).await;
}
