//! What is refused at the start.

use std::time::Duration;

use clerkwork_broker::memory;
use clerkwork_worker::{Command, Error, JobError, Options, Worker};
use tokio_util::sync::CancellationToken;

async fn echo(input: String) -> Result<String, JobError> {
    Ok(input)
}

async fn refused(worker: Worker<()>) -> Error {
    worker
        .run(memory::broker(), CancellationToken::new())
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_worker_that_is_set_wrongly_does_not_start_and_says_why() {
    assert_eq!(refused(Worker::new(())).await, Error::NoQueue);
    let twice = Worker::new(()).queue("q", echo).queue("q", echo);
    assert_eq!(refused(twice).await, Error::DuplicateQueue("q".to_owned()));
    let odd = refused(Worker::new(()).queue("Q!", echo)).await;
    assert!(matches!(&odd, Error::InvalidQueue { name, .. } if name == "Q!"));
    assert!(odd.to_string().contains("a-z"), "{odd}");
    let none = Worker::new(()).queue("q", echo).concurrency(0);
    assert_eq!(
        refused(none).await,
        Error::Concurrency {
            queue: "q".to_owned(),
            given: 0
        }
    );
    let whose = Worker::new(()).queue("q", echo).concurrency_of("w", 1);
    assert_eq!(refused(whose).await, Error::NoHandler("w".to_owned()));
    let empty = Worker::new(()).command("q", &Command::new(Vec::<String>::new()));
    assert_eq!(refused(empty).await, Error::EmptyCommand("q".to_owned()));
    let nowhere = Worker::new(()).command("q", &Command::new(["/no/such/program"]));
    assert_eq!(
        refused(nowhere).await,
        Error::NoProgram("/no/such/program".to_owned())
    );
    let hasty = Options {
        heartbeat: Duration::from_millis(1),
        ..Options::default()
    };
    let hasty = refused(Worker::new(()).queue("q", echo).options(hasty)).await;
    assert!(hasty.to_string().contains("50ms to 60s"), "{hasty}");
}
