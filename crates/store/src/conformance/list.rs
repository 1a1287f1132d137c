//! Lists and deletes.

use clerkwork_core::{Event, JobId, State, UnixMs};

use super::fixture::{Fixture, queue, success};
use crate::{Filter, Kept, NewJob, Store};

/// A job that was accepted `ms` after the others.
fn after(fixture: &Fixture, ms: i64) -> NewJob {
    let mut new = fixture.job();
    new.job.created_at = UnixMs(fixture.now.0 + ms);
    new.job.id = JobId::at(new.job.created_at);
    new
}

async fn ids(fixture: &Fixture, filter: Filter) -> Vec<JobId> {
    let listed = listed(&*fixture.store, "default", &filter).await;
    listed.into_iter().map(|kept| kept.job.id).collect()
}

/// What a list shows, on as many pages as it takes.
pub async fn listed(store: &dyn Store, tenant: &str, filter: &Filter) -> Vec<Kept> {
    let (mut filter, mut listed) = (filter.clone(), Vec::new());
    loop {
        let page = store.list(tenant, &filter).await.unwrap();
        assert!(page.jobs.len() <= filter.limit as usize);
        filter.limit -= u32::try_from(page.jobs.len()).unwrap();
        listed.extend(page.jobs);
        let Some(to) = page.searched_to.filter(|_| filter.limit > 0) else {
            return listed;
        };
        assert!(
            filter.before.is_none_or(|before| to < before),
            "each page moves on"
        );
        filter.before = Some(to);
    }
}

fn all() -> Filter {
    Filter {
        limit: 100,
        ..Filter::default()
    }
}

pub async fn a_list_is_filtered_and_newest_first(fixture: &mut Fixture) {
    let mut jobs: Vec<NewJob> = (0..6).map(|ms| after(fixture, ms)).collect();
    jobs[1].job.queue = queue("other");
    jobs[2].job.spec.tags = vec!["red".parse().unwrap(), "big".parse().unwrap()];
    jobs[3].job.spec.tags = vec!["red".parse().unwrap()];
    jobs[5].job.tenant = "other".into();
    jobs[5].job.spec.tags = vec!["red".parse().unwrap()];
    fixture.accept(&jobs).await;
    let id = |at: usize| jobs[at].job.id;
    assert!(fixture.happens(id(3), Event::CancelAsked).await);
    let list = async |filter| ids(fixture, filter).await;
    assert_eq!(list(all()).await, [id(4), id(3), id(2), id(1), id(0)]);
    assert_eq!(list(Filter { limit: 2, ..all() }).await, [id(4), id(3)]);
    assert_eq!(
        list(Filter {
            queues: vec![queue("none"), queue("other")],
            ..all()
        })
        .await,
        [id(1)]
    );
    let red = Filter {
        tag: Some("red".parse().unwrap()),
        ..all()
    };
    assert_eq!(list(red.clone()).await, [id(3), id(2)]);
    let states = vec![State::Cancelled, State::Failed];
    assert_eq!(
        list(Filter {
            states: states.clone(),
            ..all()
        })
        .await,
        [id(3)]
    );
    assert_eq!(
        list(Filter {
            states,
            ..red.clone()
        })
        .await,
        [id(3)]
    );
    assert_eq!(
        list(Filter {
            before: Some(id(3)),
            ..red
        })
        .await,
        [id(2)]
    );
    let between = Filter {
        before: Some(id(4)),
        from: Some(id(2)),
        ..all()
    };
    assert_eq!(list(between).await, [id(3), id(2)]);
    let tagged = fixture.get(id(2)).await;
    assert_eq!(tagged.spec.tags, jobs[2].job.spec.tags);
}

pub async fn paging_skips_and_repeats_nothing_while_jobs_come_in(fixture: &mut Fixture) {
    let jobs: Vec<NewJob> = (0..50).map(|ms| after(fixture, ms)).collect();
    fixture.accept(&jobs).await;
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = ids(
            fixture,
            Filter {
                before,
                limit: 7,
                ..all()
            },
        )
        .await;
        let Some(last) = page.last() else { break };
        before = Some(*last);
        seen.extend(page);
        fixture.accept(&[after(fixture, 1_000)]).await;
    }
    let expected: Vec<JobId> = jobs.iter().rev().map(|new| new.job.id).collect();
    assert_eq!(seen, expected);
}

pub async fn a_list_that_finds_little_comes_to_its_end_in_bounded_pages(fixture: &mut Fixture) {
    let mut jobs: Vec<NewJob> = (0..1_300).map(|ms| after(fixture, ms)).collect();
    for at in [0, 700, 1_299] {
        jobs[at].job.queue = queue("rare");
    }
    for part in jobs.chunks(500) {
        fixture.accept(part).await;
    }
    let rare = Filter {
        queues: vec![queue("rare")],
        ..all()
    };
    let found = [jobs[1_299].job.id, jobs[700].job.id, jobs[0].job.id];
    assert_eq!(ids(fixture, rare.clone()).await, found);
    let one = Filter { limit: 1, ..rare };
    let page = fixture.store.list("default", &one).await.unwrap();
    assert_eq!(page.jobs.len(), 1);
    assert!(page.searched_to.is_some(), "there is more");
    let none = Filter {
        queues: vec![queue("none")],
        ..all()
    };
    assert_eq!(ids(fixture, none).await, []);
}

pub async fn a_deleted_job_is_hidden_everywhere(fixture: &mut Fixture) {
    let mut new = fixture.dispatched();
    new.job.spec.tags = vec!["red".parse().unwrap()];
    let id = new.job.id;
    fixture.accept(&[new]).await;
    fixture
        .recorder
        .succeed(&[success(id)], fixture.now)
        .await
        .unwrap();
    let red = Filter {
        tag: Some("red".parse().unwrap()),
        ..all()
    };
    assert_eq!(ids(fixture, red.clone()).await, [id]);
    let gone = fixture
        .recorder
        .delete("default", &[id, id], fixture.now)
        .await
        .unwrap();
    assert_eq!(gone, [true, false]);
    let store = &fixture.store;
    assert!(store.get(None, &[id], u64::MAX).await.unwrap().is_empty());
    assert_eq!(store.input(None, id).await.unwrap(), None);
    assert_eq!(store.output(None, id).await.unwrap(), None);
    assert!(ids(fixture, all()).await.is_empty());
    assert!(ids(fixture, red).await.is_empty());
    assert_eq!(fixture.load(id).await.standing.state, State::Succeeded);
    let again = fixture
        .recorder
        .delete("default", &[id], fixture.now)
        .await
        .unwrap();
    assert_eq!(again, [false]);
}

pub async fn only_final_jobs_of_the_tenant_are_deleted(fixture: &mut Fixture) {
    let done = fixture
        .brought(fixture.job(), vec![Event::CancelAsked])
        .await
        .id;
    let running = fixture.accept_dispatched(1).await[0];
    let unknown = JobId::at(fixture.now);
    let theirs = fixture
        .recorder
        .delete("other", &[done], fixture.now)
        .await
        .unwrap();
    assert_eq!(theirs, [false]);
    let ids = [unknown, running, done];
    let mine = fixture
        .recorder
        .delete("default", &ids, fixture.now)
        .await
        .unwrap();
    assert_eq!(mine, [false, false, true]);
    assert_eq!(fixture.get(running).await.standing.state, State::Dispatched);
}
