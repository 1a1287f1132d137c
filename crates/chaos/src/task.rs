//! The input of a job: what it is to do, and a filling from which is seen whether it is whole.

use serde::{Deserialize, Serialize};

use crate::dice::Dice;

/// The largest input that a worker keeps in memory for a command; a larger one is a file without a name.
const IN_MEMORY: u64 = 1024 * 1024;

/// The work of a job, and its filling.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Task {
    /// The submission's own word.
    pub(crate) token: String,
    /// The milliseconds that it takes.
    pub(crate) ms: u64,
    /// The attempts that fail before one succeeds.
    pub(crate) fail: u32,
    /// Set where it fails for good.
    pub(crate) fatal: bool,
    /// The bytes of the filling.
    pub(crate) size: usize,
    /// Letters that follow from the token.
    pub(crate) filling: String,
}

impl Task {
    /// Reads an input; the error says what is wrong with it.
    pub(crate) fn read(input: &[u8]) -> Result<Self, String> {
        let length = input.len();
        if length == 0 {
            return Err("it is empty".to_owned());
        }
        let task: Self = serde_json::from_slice(input)
            .map_err(|error| format!("of its {length} bytes: {error}"))?;
        if task.filling != filling(&task.token, task.size) {
            return Err(format!(
                "its filling of {} bytes is not that of {}, which has {}",
                task.filling.len(),
                task.token,
                task.size
            ));
        }
        Ok(task)
    }

    /// Gives it a filling of that size.
    pub(crate) fn filled(self, size: usize) -> Self {
        let filling = filling(&self.token, size);
        Self {
            size,
            filling,
            ..self
        }
    }
}

/// Draws the size of a filling: next to nothing, about 64 KiB, or about what is kept in memory and more.
pub(crate) fn size(dice: &mut Dice) -> usize {
    let size = match dice.below(100) {
        0..=59 => dice.below(200),
        60..=89 => 64 * 1024 - 500 + dice.below(1_000),
        _ => IN_MEMORY - 1_000 + dice.below(IN_MEMORY / 2),
    };
    usize::try_from(size).unwrap_or_default()
}

/// So many letters, others for each token.
fn filling(token: &str, size: usize) -> String {
    let seed = token
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |seed: u64, byte| {
            (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let mut dice = Dice::new(seed);
    let mut letters = String::with_capacity(size + 16);
    while letters.len() < size {
        letters.push_str(&format!("{:016x}", dice.below(u64::MAX)));
    }
    letters.truncate(size);
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(size: usize) -> Vec<u8> {
        let task = Task {
            token: "c1-7".to_owned(),
            ms: 1,
            fail: 0,
            fatal: false,
            size: 0,
            filling: String::new(),
        };
        serde_json::to_vec(&task.filled(size)).unwrap()
    }

    #[test]
    fn a_whole_input_is_read_whatever_its_size() {
        for size in [0, 1, 17, 70_000, 1_100_000] {
            let task = Task::read(&input(size)).unwrap();
            assert_eq!((task.size, task.filling.len()), (size, size));
        }
    }

    #[test]
    fn an_input_that_was_cut_emptied_or_changed_is_not_whole() {
        let whole = input(70_000);
        let mut changed = whole.clone();
        changed[40_000] ^= 1;
        let other = String::from_utf8(whole.clone())
            .unwrap()
            .replace("c1-7", "c1-8");
        let cut = &whole[..whole.len() - 1];
        for input in [&[], &whole[..65_536], cut, &changed[..], other.as_bytes()] {
            assert!(Task::read(input).is_err(), "{} bytes", input.len());
        }
        assert!(Task::read(&[&whole[..], b"x"].concat()).is_err());
    }
}
