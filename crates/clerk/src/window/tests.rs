//! Credits of one queue.

use super::*;

fn queue() -> QueueName {
    "q".parse().unwrap()
}

const fn depth(ready: u64, consumers: u64) -> Option<Depth> {
    Some(Depth { ready, consumers })
}

/// A window of `size` jobs whose queue has a consumer and no backlog.
fn window(size: u32) -> Window {
    let window = Window::new(size);
    window.looked(&queue(), depth(0, 1), 1);
    window.no_backlog(&queue());
    window.turns();
    window
}

#[test]
fn a_window_of_one_lets_one_job_out_until_it_is_answered() {
    let window = window(1);
    assert!(window.take_direct(&queue()));
    assert!(!window.take_direct(&queue()));
    window.replied(&queue());
    assert!(!window.take_direct(&queue()), "the backlog goes first");
    assert_eq!(window.take(&queue(), 500), 1);
    window.replied(&queue());
    window.no_backlog(&queue());
    assert!(window.take_direct(&queue()));
}

#[test]
fn clerks_share_what_is_free_rounded_up() {
    let window = Window::new(10);
    window.looked(&queue(), depth(3, 1), 2);
    assert_eq!(window.take(&queue(), 100), 4);
    window.looked(&queue(), depth(10, 1), 2);
    assert_eq!(window.take(&queue(), 100), 0);
    window.looked(&queue(), None, 2);
    assert_eq!(window.take(&queue(), 100), 0);
}

#[test]
fn a_queue_gives_no_credit_before_it_was_looked_at() {
    let window = Window::new(10);
    assert!(!window.take_direct(&queue()));
    window.waiting(&queue());
    assert!(window.turns().is_empty());
    assert_eq!(window.take(&queue(), 5), 0);
    assert_eq!(window.wanted_looks(), [queue()]);
    assert!(window.wanted_looks().is_empty(), "each is told once");
    window.looked(&queue(), depth(0, 1), 1);
    assert_eq!(window.turns(), [queue()]);
    assert_eq!(window.take(&queue(), 5), 5);
}

#[test]
fn a_queue_without_consumers_gives_no_credit() {
    let window = window(10);
    assert!(window.take_direct(&queue()));
    window.looked(&queue(), depth(0, 0), 1);
    window.replied(&queue());
    assert!(!window.take_direct(&queue()));
    assert_eq!(window.take(&queue(), 5), 0);
    assert!(window.to_look_at().is_empty());
    assert!(window.to_look_for_consumers().is_empty(), "no job waits");
    window.waiting(&queue());
    assert_eq!(window.to_look_for_consumers(), [queue()]);
    window.looked(&queue(), depth(0, 1), 1);
    assert_eq!(window.turns(), [queue()]);
    assert_eq!(window.take(&queue(), 5), 5);
}

#[test]
fn a_backlogs_turn_comes_with_credit_for_more_than_a_few() {
    let window = window(8);
    window.waiting(&queue());
    assert_eq!(window.turns(), [queue()], "all credit is there");
    assert!(window.turns().is_empty(), "each turn is told once");
    window.behind_backlog(&queue());
    assert_eq!(window.take(&queue(), 8), 8);
    window.replied(&queue());
    window.waiting(&queue());
    assert!(window.turns().is_empty(), "1 of 8 is not worth a hand-out");
    window.replied(&queue());
    assert_eq!(window.turns(), [queue()]);
}

#[test]
fn a_paused_or_stopped_queue_gives_nothing() {
    let window = window(10);
    window.pause(&queue(), true);
    assert!(!window.take_direct(&queue()));
    assert_eq!(window.take(&queue(), 5), 0);
    assert!(window.turns().is_empty());
    window.pause(&queue(), false);
    assert_eq!(window.turns(), [queue()]);
    assert_eq!(window.take(&queue(), 5), 5);
    let stopped = window.stop(&queue());
    assert_eq!(window.take(&queue(), 5), 0);
    window.waiting(&queue());
    assert!(window.turns().is_empty());
    drop(stopped);
    assert_eq!(window.turns(), [queue()]);
    assert_eq!(window.take(&queue(), 5), 5);
}

#[test]
fn an_old_backlog_without_consumers_is_looked_at_until_one_comes() {
    let window = Window::new(10);
    window.behind_backlog(&queue());
    window.looked(&queue(), depth(0, 0), 1);
    assert_eq!(window.to_look_for_consumers(), [queue()]);
}

#[test]
fn a_queue_forgotten_during_its_purge_is_not_stopped_afterwards() {
    let window = window(10);
    let stopped = window.stop(&queue());
    window.forget(&queue());
    drop(stopped);
    window.looked(&queue(), depth(0, 1), 1);
    window.no_backlog(&queue());
    assert!(window.take_direct(&queue()));
}
