//! Every door holds for its seeds and for thousands of variants of them.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::PathBuf;

use clerkwork_fuzz_targets::TARGETS;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// How many variants of its seeds each door is tried with.
const VARIANTS: usize = 2_000;

fn folder(kind: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(kind)
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(folder("seeds").join(target))
        .unwrap_or_else(|error| panic!("the seeds of {target}: {error}"))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| fs::read(path).unwrap())
        .collect()
}

/// A word of a dictionary. libFuzzer ends at one with other escapes than these.
fn unescaped(word: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), word.as_bytes());
    loop {
        let (byte, after) = match rest {
            [b'\\', b'x', high, low, after @ ..] => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).unwrap();
                (u8::from_str_radix(digits, 16).unwrap(), after)
            }
            [b'\\', byte @ (b'\\' | b'"'), after @ ..] => (*byte, after),
            [b'\\', ..] => panic!("libFuzzer does not read \"{word}\""),
            [byte, after @ ..] => (*byte, after),
            [] => return bytes,
        };
        bytes.push(byte);
        rest = after;
    }
}

/// The words of a dictionary in libFuzzer's format.
fn words(target: &str) -> Vec<Vec<u8>> {
    let path = folder("dictionaries").join(format!("{target}.dict"));
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let quoted = text
        .lines()
        .filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    quoted.map(unescaped).collect()
}

/// One to four changes: a bit, a byte, a stretch gone or doubled, a word put in, another seed's end.
fn variant(rng: &mut StdRng, seeds: &[Vec<u8>], words: &[Vec<u8>]) -> Vec<u8> {
    let mut data = seeds[rng.random_range(0..seeds.len())].clone();
    for _ in 0..rng.random_range(1..=4) {
        let at = rng.random_range(0..=data.len());
        let end = rng.random_range(at..=data.len().min(at + 40));
        match rng.random_range(0..6) {
            0 if at < data.len() => data[at] ^= 1 << rng.random_range(0..8),
            1 if at < data.len() => data[at] = rng.random(),
            2 => drop(data.drain(at..end)),
            3 => {
                let stretch = data[at..end].to_vec();
                data.splice(at..at, stretch);
            }
            4 => drop(data.splice(at..at, words[rng.random_range(0..words.len())].clone())),
            _ => {
                let other = &seeds[rng.random_range(0..seeds.len())];
                data.truncate(at);
                data.extend_from_slice(&other[rng.random_range(0..=other.len())..]);
            }
        }
    }
    data
}

#[test]
fn every_door_holds_for_its_seeds_and_thousands_of_their_variants() {
    let mut rng = StdRng::seed_from_u64(7);
    for target in TARGETS {
        let (seeds, words) = (seeds(target.name), words(target.name));
        assert!(
            !seeds.is_empty() && !words.is_empty(),
            "{} needs seeds and words",
            target.name
        );
        seeds.iter().for_each(|seed| (target.run)(seed));
        for _ in 0..VARIANTS {
            let data = variant(&mut rng, &seeds, &words);
            let shown = data.clone();
            let held = std::panic::catch_unwind(|| (target.run)(&data));
            assert!(
                held.is_ok(),
                "{} with {:?}",
                target.name,
                String::from_utf8_lossy(&shown)
            );
        }
    }
}

#[test]
fn every_door_has_a_fuzzer() {
    for target in TARGETS {
        let path = folder("libfuzzer/fuzz_targets").join(format!("{}.rs", target.name));
        let text = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            text.contains(&format!("run(\"{}\"", target.name)),
            "{}",
            path.display()
        );
        let manifest = fs::read_to_string(folder("libfuzzer/Cargo.toml")).unwrap();
        assert!(
            manifest.contains(&format!("name = \"{}\"", target.name)),
            "{}",
            target.name
        );
    }
}
