//! Where a setting's value comes from: flag, then environment, then file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::flags::Flags;
use super::table::{Kind, SETTINGS, Setting};
use crate::exit::Failure;

/// The file that is read if it is there and none is named.
pub(super) const FILE: &str = "clerkwork.toml";

/// Everything that was set, by where it was.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    flags: BTreeMap<&'static str, Vec<String>>,
    environment: BTreeMap<String, String>,
    file: BTreeMap<&'static str, Vec<String>>,
    file_name: String,
    /// Sentences about names in the file that are no settings, and values of the wrong kind.
    wrong: Vec<String>,
}

/// A value as it was written, and where.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) values: Vec<String>,
    /// What to call it in an error: `--lease`, `CLERKWORK_LEASE`, or `lease in clerkwork.toml`.
    pub(crate) origin: String,
}

impl Sources {
    /// Gathers the flags, this process's environment and the settings file.
    pub(crate) fn gather<const AUDIENCE: u8>(flags: Flags<AUDIENCE>) -> Result<Self, Failure> {
        Self::of(flags, crate::environment::variables())
    }

    pub(super) fn of<const AUDIENCE: u8>(
        flags: Flags<AUDIENCE>,
        environment: BTreeMap<String, String>,
    ) -> Result<Self, Failure> {
        let named = flags
            .config
            .or_else(|| environment.get("CLERKWORK_CONFIG").map(PathBuf::from));
        let path = named.clone().unwrap_or_else(|| FILE.into());
        let file_name = path.display().to_string();
        let (file, wrong) = match std::fs::read_to_string(&path) {
            Ok(text) => parse(&path, &text)?,
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                Default::default()
            }
            Err(error) => {
                return Err(Failure::usage(format!(
                    "the settings file {file_name}: {error}"
                )));
            }
        };
        Ok(Self {
            flags: flags.values,
            environment,
            file,
            file_name,
            wrong,
        })
    }

    /// Only what a settings file says.
    pub(super) fn file(path: &Path, text: &str) -> Result<Self, Failure> {
        let (file, wrong) = parse(path, text)?;
        Ok(Self {
            file,
            file_name: path.display().to_string(),
            wrong,
            ..Self::default()
        })
    }

    /// Takes the sentences about what is wrong with the file itself, to be told with those about values.
    pub(super) fn take_wrong(&mut self) -> Vec<String> {
        std::mem::take(&mut self.wrong)
    }

    /// Heeds no more what other programs use too.
    pub(crate) fn heed_ours_only(&mut self) {
        for setting in SETTINGS {
            if let Some(name) = setting.customary() {
                self.environment.remove(name);
            }
        }
    }

    /// What was set for `setting`; the error is a sentence.
    pub(crate) fn find(&self, setting: &Setting) -> Result<Option<Found>, String> {
        if let Some(values) = self.flags.get(setting.name) {
            let origin = format!("--{}", setting.name);
            return Ok(Some(Found {
                values: values.clone(),
                origin,
            }));
        }
        if let Some(found) = self.in_environment(setting)? {
            return Ok(Some(found));
        }
        if let Some(values) = self.file.get(setting.name) {
            let origin = format!("{} in {}", setting.name, self.file_name);
            return Ok(Some(Found {
                values: values.clone(),
                origin,
            }));
        }
        Ok(setting.customary().and_then(|name| self.variable(name)))
    }

    fn in_environment(&self, setting: &Setting) -> Result<Option<Found>, String> {
        let Some(name) = setting.variable() else {
            return Ok(None);
        };
        let direct = self.variable(&name);
        if !matches!(setting.kind, Kind::Secret(_)) {
            return Ok(direct.map(|mut found| {
                if matches!(setting.kind, Kind::Lines(_)) {
                    found.values = found
                        .values
                        .iter()
                        .flat_map(|all| all.lines())
                        .map(str::to_owned)
                        .collect();
                }
                found
            }));
        }
        let Some(file) = self.variable(&format!("{name}_FILE")) else {
            return Ok(direct);
        };
        if direct.is_some() {
            return Err(format!(
                "{name} and {} are both set: unset one of them",
                file.origin
            ));
        }
        let path = file.values.concat();
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("{} names {path}: {error}", file.origin))?;
        Ok(Some(Found {
            values: vec![text.trim().to_owned()],
            origin: file.origin,
        }))
    }

    /// A variable of the environment; an empty one counts as unset.
    fn variable(&self, name: &str) -> Option<Found> {
        let value = self
            .environment
            .get(name)
            .filter(|value| !value.is_empty())?;
        Some(Found {
            values: vec![value.clone()],
            origin: name.to_owned(),
        })
    }
}

/// What a settings file says, and sentences about what of it is no setting.
type Parsed = (BTreeMap<&'static str, Vec<String>>, Vec<String>);

/// Reads the settings file; fails where it is no TOML.
fn parse(path: &Path, text: &str) -> Result<Parsed, Failure> {
    let name = path.display();
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        // The error shows the line, which may hold a secret: only its words are passed on.
        let line = error.span().map_or(1, |span| {
            text[..span.start.min(text.len())].lines().count().max(1)
        });
        Failure::usage(format!(
            "the settings file {name}, line {line}: {}",
            error.message()
        ))
    })?;
    let mut file = BTreeMap::new();
    let mut wrong = Vec::new();
    for (key, value) in &table {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == key) else {
            wrong.push(format!(
                "{key} in {name} is not a setting{}",
                suggestion(key)
            ));
            continue;
        };
        match as_words(value) {
            Some(values) => {
                file.insert(setting.name, values);
            }
            None => wrong.push(format!(
                "{key} in {name} must be a text, a number, or a list of texts"
            )),
        }
    }
    Ok((file, wrong))
}

fn as_words(value: &toml::Value) -> Option<Vec<String>> {
    match value {
        toml::Value::String(text) => Some(vec![text.clone()]),
        toml::Value::Integer(number) => Some(vec![number.to_string()]),
        toml::Value::Boolean(on) => Some(vec![if *on { "on" } else { "off" }.to_owned()]),
        toml::Value::Array(values) => values
            .iter()
            .map(|value| value.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

/// The setting that was probably meant.
fn suggestion(key: &str) -> String {
    let key = key.to_ascii_lowercase().replace('_', "-");
    let nearest = SETTINGS
        .iter()
        .map(|setting| (distance(&key, setting.name), setting.name))
        .min();
    match nearest {
        Some((distance, name)) if distance <= name.len().div_ceil(3) => {
            format!("; did you mean {name}?")
        }
        _ => "; `clerkwork clerk --help` lists them".to_owned(),
    }
}

/// How many letters must be changed, added or removed to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}
