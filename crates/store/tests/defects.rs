//! Planted defects, each of which breaks its claim. Alone in this file: a defect is planted in the whole process.

mod support;

use std::panic::AssertUnwindSafe;

use clerkwork_faults::{Defect, plant};
use clerkwork_store::conformance;
use futures_util::FutureExt as _;
use support::{break_commits, fixture_in, refuse_poison, schema};

#[tokio::test]
async fn each_planted_defect_breaks_its_claim() {
    let options = schema().await;
    let mut fixture = fixture_in(options.clone()).await;
    refuse_poison(&options).await;
    plant(Some(Defect::RefusedIsAway));
    let claim = conformance::data_that_the_database_refuses_holds_up_no_neighbour(&mut fixture);
    let held = AssertUnwindSafe(claim).catch_unwind().await;
    plant(None);
    fixture.end().await;
    held.expect_err("the defect is found");

    let options = schema().await;
    let mut fixture = fixture_in(options.clone()).await;
    break_commits(&options, fixture.now.day()).await;
    plant(Some(Defect::RollbackBeforeVerdict));
    let claim = conformance::a_broken_commit_is_unknown(&mut fixture);
    let held = AssertUnwindSafe(claim).catch_unwind().await;
    plant(None);
    fixture.end().await;
    held.expect_err("the defect is found");
}
