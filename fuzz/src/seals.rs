//! Words that only we can make: correlation ids and watch tokens.

#[cfg(test)]
use clerkwork_core::{ClerkId, Correlation};
use clerkwork_core::{JobId, Seal, Secret, UnixMs, WatchSeal};

/// As in the seeds, so that a variant of a good word is tried too.
const SECRET: Secret = Secret {
    id: 1,
    bytes: [7; 32],
};

/// A word opens only if it is exactly the one that we would write.
pub(crate) fn correlation(data: &[u8]) {
    let seal = Seal::new(vec![SECRET]).unwrap();
    let word = String::from_utf8_lossy(data);
    if let Some(said) = seal.open(&word) {
        assert_eq!(
            seal.seal(&said),
            word,
            "a second way to write the same word"
        );
    }
}

/// A token opens only the job that it is for, and only if it is exactly the one that we would write.
pub(crate) fn watch_token(data: &[u8]) {
    let seal = WatchSeal::new(&[SECRET]).unwrap();
    let token = String::from_utf8_lossy(data);
    let mine = JobId::first_of(UnixMs(1_790_000_000_000));
    let other = JobId::first_of(UnixMs(1_790_000_000_001));
    let expiry = UnixMs(1_800_000_000_000);
    assert!(
        !seal.opens(&token, other, UnixMs(0)),
        "it opens a job that it is not for"
    );
    if seal.opens(&token, mine, UnixMs(0)) {
        assert_eq!(
            seal.token(mine, expiry),
            token,
            "nobody was given another one"
        );
        assert!(!seal.opens(&token, mine, expiry), "it opens after its end");
    }
}

/// The good words, which the seeds are to hold.
#[cfg(test)]
pub(crate) fn good() -> (String, String) {
    let said = Correlation {
        job: JobId::first_of(UnixMs(1_790_000_000_000)),
        attempt: 1,
        rev: 2,
        clerk: ClerkId(7),
    };
    let word = Seal::new(vec![SECRET]).unwrap().seal(&said);
    let token = WatchSeal::new(&[SECRET])
        .unwrap()
        .token(said.job, UnixMs(1_800_000_000_000));
    (word, token)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_seeds_hold_a_good_word_of_each() {
        let (word, token) = super::good();
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
        for (name, good) in [("correlation", word), ("watch_token", token)] {
            let kept = fs::read_to_string(seeds.join(name).join("good")).unwrap_or_default();
            assert_eq!(kept, good, "{name}");
        }
    }
}
