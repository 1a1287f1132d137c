//! The hand that injects the faults of a profile one after the other, heals them and measures how soon work goes on.

use std::sync::Arc;
use std::time::Duration;

use clerkwork_checker::Phase;
use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::dice::Dice;
use crate::fleet::{Fleet, Size};
use crate::profile::Profile;
use crate::recorder::{Recorder, now};

/// How long submissions may be refused once a fault is healed, before the next one comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What of a long fault passes before the clerks' memory is taken to be what the load needs.
const SETTLED: Duration = Duration::from_secs(60);
/// By how much a clerk may grow in the rest of a long fault.
const GROWTH: u64 = 32 << 20;

/// What a run does to its fleet.
#[derive(Debug)]
pub(crate) struct Hand {
    pub(crate) profile: Profile,
    pub(crate) size: Size,
    pub(crate) dice: Dice,
    pub(crate) recorder: Arc<Recorder>,
    /// For each fault, after how many milliseconds from its healing a job was accepted again.
    pub(crate) recovery: Vec<i64>,
}

impl Hand {
    /// Injects and heals until `enough`.
    pub(crate) async fn run(
        &mut self,
        fleet: &mut Fleet,
        enough: impl Fn() -> bool,
    ) -> Result<(), Failure> {
        sleep(Duration::from_secs(2)).await;
        let mut number = 0;
        while !enough() {
            let Some(step) = self.profile.step(number, self.size, &mut self.dice) else {
                sleep(Duration::from_millis(200)).await;
                continue;
            };
            number += 1;
            let name = format!("{number}:{}", step.fault);
            self.recorder.fault(&name, Phase::Planned);
            let dice = self.dice.fork();
            step.fault.inject(fleet, &self.recorder, dice).await?;
            self.recorder.fault(&name, Phase::Fired);
            hold(fleet, step.hold).await?;
            step.fault.heal(fleet).await?;
            self.recorder.fault(&name, Phase::Healed);
            self.recover().await?;
            sleep(step.rest).await;
            if let Some(fallen) = fleet.fallen().first() {
                return Err(fallen.clone().into());
            }
        }
        Ok(())
    }

    /// Waits until a job is accepted again.
    async fn recover(&mut self) -> Result<(), Failure> {
        let (healed, began) = (now(), Instant::now());
        while self.recorder.last_accepted() < healed {
            if began.elapsed() > PATIENCE {
                return Err(
                    format!("no job was accepted within {PATIENCE:?} of the healing").into(),
                );
            }
            sleep(Duration::from_millis(5)).await;
        }
        self.recovery.push(self.recorder.last_accepted() - healed);
        Ok(())
    }
}

/// Waits while a fault lasts. In one that lasts for long, what waits for its end must not be kept in memory.
async fn hold(fleet: &mut Fleet, span: Duration) -> Result<(), Failure> {
    if span < SETTLED * 2 {
        sleep(span).await;
        return Ok(());
    }
    sleep(SETTLED).await;
    let settled = fleet.largest_clerk();
    sleep(span - SETTLED).await;
    let last = fleet.largest_clerk();
    let words = format!(
        "the largest clerk had {} MiB a minute into the fault and {} MiB at its end",
        settled >> 20,
        last >> 20
    );
    println!("{words}");
    if last > settled + GROWTH {
        return Err(words.into());
    }
    Ok(())
}
