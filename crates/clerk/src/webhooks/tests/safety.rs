//! Where a webhook never goes, and receivers that mean no good.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use clerkwork_core::WebhookStatus;
use futures_util::stream;

use super::office::Office;
use super::receiver::{Deaf, Full, Receiver, said};

const CANARY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const GOOD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Whoever looks a name up twice, to check it and to connect, goes where it must not.
#[tokio::test]
async fn a_name_that_flips_to_a_private_address_is_called_at_the_one_that_was_checked() {
    let mut office = Office::allowing(&["127.0.0.2/32"]).await;
    let receiver = Receiver::at((GOOD, 0).into(), |_| said(500)).await;
    let port = receiver.address.port();
    let canary = Receiver::at((CANARY, port).into(), |_| said(200)).await;
    office.book.write("flips.test", &[&[GOOD], &[CANARY]]);
    let job = office.ended(&receiver.url_of("flips.test")).await;
    let next = office.tried(job, 1).await.next_attempt_at.unwrap();
    assert_eq!(receiver.got().len(), 1);
    office.pass_to(next);
    let refused = office.tried(job, 2).await;
    assert_eq!(refused.status, WebhookStatus::Pending);
    assert_eq!((receiver.got().len(), canary.got().len()), (1, 0));
}

#[tokio::test]
async fn of_several_addresses_only_those_that_may_be_called_are() {
    let mut office = Office::allowing(&["127.0.0.2/32"]).await;
    let receiver = Receiver::at((GOOD, 0).into(), |_| said(200)).await;
    let port = receiver.address.port();
    let canary = Receiver::at((CANARY, port).into(), |_| said(200)).await;
    office.book.write("both.test", &[&[CANARY, GOOD, CANARY]]);
    let job = office.ended(&receiver.url_of("both.test")).await;
    office.delivered(job).await;
    assert_eq!((receiver.got().len(), canary.got().len()), (1, 0));
}

#[tokio::test]
async fn no_spelling_of_a_private_address_is_called() {
    let mut office = Office::allowing(&["127.0.0.2/32"]).await;
    let canary = Receiver::saying(200).await;
    let port = canary.address.port();
    office.book.write("local.test", &[&[CANARY]]);
    office.book.write("localhost", &[&[CANARY]]);
    office
        .book
        .write("mapped.test", &[&["::ffff:127.0.0.1".parse().unwrap()]]);
    let mut jobs = Vec::new();
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "127.0.0.1.",
        "[::ffff:127.0.0.1]",
        "user@127.0.0.1",
        "localhost",
        "localhost.",
        "local.test",
        "mapped.test",
        "127。0。0。1",
    ] {
        for scheme in ["http", "https"] {
            jobs.push(
                office
                    .ended(&format!("{scheme}://{host}:{port}/hook"))
                    .await,
            );
        }
    }
    for job in jobs {
        let refused = office.tried(job, 1).await;
        assert_eq!(refused.status, WebhookStatus::Pending);
        assert_eq!(refused.last_status, None);
    }
    assert_eq!(canary.got().len(), 0);
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let mut office = Office::open().await;
    let canary = Receiver::saying(200).await;
    for target in [canary.url(), "http://169.254.169.254/latest".to_owned()] {
        let receiver = Receiver::open(move |_| {
            let found = Response::builder().status(302).header("location", &target);
            found.body(Body::empty()).unwrap()
        })
        .await;
        let job = office.ended(&receiver.url()).await;
        let refused = office.tried(job, 1).await;
        assert_eq!(refused.last_status, Some(302));
        assert_eq!(refused.status, WebhookStatus::Pending);
    }
    assert_eq!(canary.got().len(), 0);
}

#[tokio::test]
async fn little_of_an_answer_is_read_however_long_it_is() {
    let mut office = Office::open().await;
    let poured = Arc::new(AtomicUsize::new(0));
    let counted = poured.clone();
    let flood = Receiver::open(move |_| {
        let (chunk, counted) = (Bytes::from(vec![b'x'; 64 * 1024]), counted.clone());
        let endless = stream::repeat_with(move || {
            counted.fetch_add(chunk.len(), Ordering::Relaxed);
            Ok::<_, std::io::Error>(chunk.clone())
        });
        let mut response = said(200);
        *response.body_mut() = Body::from_stream(endless);
        response
    })
    .await;
    let drip = Receiver::open(|_| {
        let mut response = said(200);
        let never = stream::pending::<Result<Bytes, std::io::Error>>();
        *response.body_mut() = Body::from_stream(never);
        response
    })
    .await;
    let (flooded, dripped) = (
        office.ended(&flood.url()).await,
        office.ended(&drip.url()).await,
    );
    office.delivered(flooded).await;
    office.delivered(dripped).await;
    // What was not read lies in the buffers of the connection.
    let poured = poured.load(Ordering::Relaxed);
    assert!(poured < 16 * 1024 * 1024, "{poured} bytes");
}

#[tokio::test]
async fn a_receiver_that_takes_no_connection_has_failed_after_five_seconds() {
    let mut office = Office::open().await;
    let full = Full::open().await;
    let begin = std::time::Instant::now();
    let job = office.ended(&full.url()).await;
    let refused = office.tried(job, 1).await;
    assert_eq!(
        (refused.status, refused.last_status),
        (WebhookStatus::Pending, None)
    );
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(4), "{took:?}");
    assert!(took < Duration::from_secs(12), "{took:?}");
}

#[tokio::test]
async fn what_is_no_http_or_no_tls_is_a_failure() {
    let mut office = Office::open().await;
    let receiver = Receiver::saying(200).await;
    let plain = office
        .ended(&receiver.url().replace("http:", "https:"))
        .await;
    let closed = Deaf::open().await.close();
    let nobody = office.ended(&format!("http://{closed}/hook")).await;
    for job in [plain, nobody] {
        let refused = office.tried(job, 1).await;
        assert_eq!(refused.status, WebhookStatus::Pending);
        assert_eq!(refused.last_status, None);
    }
    assert_eq!(receiver.got().len(), 0);
}

#[tokio::test]
async fn a_receiver_that_never_answers_has_failed_after_fifteen_seconds() {
    let mut office = Office::open().await;
    let deaf = Deaf::open().await;
    let begin = std::time::Instant::now();
    let job = office.ended(&deaf.url("127.0.0.1")).await;
    office.tried(job, 1).await;
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(14), "{took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}
