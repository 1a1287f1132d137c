//! The hand that injects the planned faults, and makes everything whole again.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_checker::{Phase, What};
use tokio::task::JoinSet;

use crate::dice;
use crate::fleet::Fleet;
use crate::forger;
use crate::plan::{Fault, Plan};
use crate::post::Link;
use crate::world::Weather;

/// Injects the faults of a plan; returns when the last one is over and all is whole again.
pub(crate) async fn inject(fleet: &Arc<Fleet>, plan: &Plan) {
    let mut under_way = JoinSet::new();
    for (number, (begins, fault)) in plan.faults.iter().copied().enumerate() {
        let fleet = fleet.clone();
        let name = format!("{fault:?}{number}");
        say(&fleet, &name, Phase::Planned);
        let jump_ms = plan.jump_ms;
        under_way.spawn(async move {
            dice::pass(begins).await;
            say(&fleet, &name, Phase::Fired);
            one(&fleet, fault, jump_ms).await;
            say(&fleet, &name, Phase::Healed);
        });
    }
    dice::pass(plan.span).await;
    while under_way.join_next().await.is_some() {}
    heal(fleet).await;
}

fn say(fleet: &Fleet, fault: &str, phase: Phase) {
    let fault = fault.to_owned();
    fleet.world.saw(What::Fault { fault, phase });
}

/// Everything is whole again, save that a clerk may stay dead if another lives.
async fn heal(fleet: &Arc<Fleet>) {
    for sky in fleet.skies() {
        sky.change(|weather| *weather = Weather::default());
    }
    for at in 0..fleet.workers.len() {
        fleet.start_worker(at);
    }
    let lives = fleet.clerks.iter().any(|clerk| clerk.is_alive());
    for at in 0..fleet.clerks.len() {
        if !fleet.clerks[at].is_alive() && (!lives || dice::odds(0.5)) {
            fleet.start_clerk(at).await;
        }
    }
    fleet.world.saw(What::Healed);
}

/// Injects one fault and takes it back.
async fn one(fleet: &Arc<Fleet>, fault: Fault, jump_ms: i64) {
    let clerk = dice::place(fleet.clerks.len());
    let worker = dice::place(fleet.workers.len());
    let a_while = dice::millis(100..15_000);
    match fault {
        Fault::ClerkCrash => {
            fleet.clerks[clerk].crash(&fleet.world);
            back_at_work(fleet, clerk, a_while).await;
        }
        Fault::ClerkFade => fade(fleet, clerk, a_while).await,
        Fault::ClerkDrain => {
            fleet.drain_clerk(clerk).await;
            back_at_work(fleet, clerk, a_while / 10).await;
        }
        Fault::WorkerCrash => {
            fleet.workers[worker].crash(&fleet.world);
            dice::pass(a_while).await;
            fleet.start_worker(worker);
        }
        Fault::WorkerDrain => {
            fleet.drain_worker(worker).await;
            dice::pass(a_while / 10).await;
            fleet.start_worker(worker);
        }
        Fault::ClerkCut => cut(fleet.clerks[clerk].link(), a_while).await,
        Fault::WorkerCut => cut(fleet.workers[worker].link(), a_while).await,
        Fault::Outage => {
            fleet.post.go_away();
            dice::pass(a_while * 4).await;
            fleet.post.come_back();
        }
        Fault::Blocked => {
            fleet.post.block(true);
            dice::pass(a_while).await;
            fleet.post.block(false);
        }
        Fault::Fire => burn(fleet, a_while / 4).await,
        Fault::Purge => {
            fleet.purge().await;
            let world = &fleet.world;
            world.note(format_args!("the broker dropped what waited for workers"));
        }
        Fault::Refusals => refuse_half(fleet, a_while).await,
        Fault::ClockStep => {
            let most = u64::try_from(jump_ms).unwrap_or(1);
            let ahead = i64::try_from(dice::number(0..most)).unwrap_or(0);
            let step = if dice::odds(0.5) { ahead } else { -ahead };
            fleet.clerks[clerk].wall.step(step);
        }
        Fault::Forger => forger::forge(fleet, a_while).await,
        Fault::PostSick | Fault::HintsSick | Fault::StoreAway | Fault::StoreSick => {
            sicken(fleet, fault, clerk, a_while).await;
        }
    }
}

/// The broker loses all that it has, and is away for a while.
async fn burn(fleet: &Fleet, span: Duration) {
    fleet.post.go_away();
    fleet.post.burn().await;
    let world = &fleet.world;
    world.note(format_args!("the broker has lost everything"));
    dice::pass(span).await;
    fleet.post.come_back();
}

/// The broker refuses half of what anybody publishes, for a while.
async fn refuse_half(fleet: &Fleet, span: Duration) {
    for (refused, span) in [(0.5, span), (0.0, Duration::ZERO)] {
        for sky in fleet.skies() {
            sky.change(|weather| weather.refused = refused);
        }
        dice::pass(span).await;
    }
}

/// What a clerk sends becomes slow, and it is killed while some of it is on its way.
async fn fade(fleet: &Arc<Fleet>, clerk: usize, span: Duration) {
    let sky = &fleet.clerks[clerk].sky;
    sky.change(|weather| weather.slow = 1.0);
    dice::pass(span / 5).await;
    fleet.clerks[clerk].crash(&fleet.world);
    sky.change(|weather| weather.slow = 0.0);
    back_at_work(fleet, clerk, span).await;
}

/// A clerk that ended comes back, or stays away until all is made whole.
async fn back_at_work(fleet: &Arc<Fleet>, clerk: usize, after: Duration) {
    if dice::odds(0.7) {
        dice::pass(after).await;
        fleet.start_clerk(clerk).await;
    }
}

async fn cut(link: Option<Arc<Link>>, span: Duration) {
    if let Some(link) = link {
        link.lose();
        dice::pass(span).await;
        link.restore();
    }
}

/// Bad weather for one node or for all, then good weather again.
async fn sicken(fleet: &Arc<Fleet>, fault: Fault, clerk: usize, span: Duration) {
    let everywhere = dice::odds(0.5);
    let some = dice::number(2..30);
    let share = |most: u64| f64::from(u32::try_from(some.min(most)).unwrap_or(1)) / 100.0;
    let bad = |weather: &mut Weather| match fault {
        Fault::PostSick => {
            weather.refused = share(10);
            weather.cut = share(10);
            weather.acks_lost = share(5);
            weather.slow = share(30);
        }
        Fault::HintsSick => {
            weather.hints_lost = share(30);
            weather.hints_doubled = share(30);
        }
        Fault::StoreAway => weather.store_away = true,
        _ => {
            weather.store_refuses = share(20);
            weather.store_unanswered = share(20);
        }
    };
    let good = |weather: &mut Weather| match fault {
        Fault::PostSick => {
            (weather.refused, weather.cut) = (0.0, 0.0);
            (weather.acks_lost, weather.slow) = (0.0, 0.0);
        }
        Fault::HintsSick => (weather.hints_lost, weather.hints_doubled) = (0.0, 0.0),
        Fault::StoreAway => weather.store_away = false,
        _ => (weather.store_refuses, weather.store_unanswered) = (0.0, 0.0),
    };
    let skies = || {
        let one = fleet.clerks[clerk].sky.clone();
        let all = fleet.skies().cloned().collect::<Vec<_>>();
        if everywhere { all } else { vec![one] }
    };
    skies().iter().for_each(|sky| sky.change(bad));
    dice::pass(span).await;
    skies().iter().for_each(|sky| sky.change(good));
}
