//! Reads settings out of their sources, checks them, and gathers all that is wrong.

use std::time::Duration;

use super::sources::Sources;
use super::table::{Kind, setting};
use super::values;
use crate::exit::Failure;

/// A reader of settings that goes on after an error, so that all are told at once.
#[derive(Debug)]
pub(crate) struct Check {
    sources: Sources,
    wrong: Vec<String>,
}

impl Check {
    pub(crate) fn new(mut sources: Sources) -> Self {
        let wrong = sources.take_wrong();
        Self { sources, wrong }
    }

    /// The settings, or all that is wrong with them.
    pub(crate) fn finish<T>(mut self, settings: T) -> Result<T, Failure> {
        // A setting that several parts read is told once.
        let mut told = std::collections::BTreeSet::new();
        self.wrong.retain(|sentence| told.insert(sentence.clone()));
        if self.wrong.is_empty() {
            Ok(settings)
        } else {
            Err(Failure::settings(self.wrong))
        }
    }

    /// Adds something that is wrong.
    pub(crate) fn wrong(&mut self, sentence: impl Into<String>) {
        self.wrong.push(sentence.into());
    }

    /// How much is wrong so far.
    pub(crate) fn errors(&self) -> usize {
        self.wrong.len()
    }

    /// Heeds no variables that other programs use too.
    pub(crate) fn heed_ours_only(&mut self) {
        self.sources.heed_ours_only();
    }

    /// A text, if it is set or has a default.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.parse(name, |text| Ok(text.to_owned()))
    }

    /// A duration in its range, if it is set or has a default.
    pub(crate) fn optional_duration(&mut self, name: &str) -> Option<Duration> {
        self.parse(name, |text| {
            let value = values::duration(text)?;
            if let Some(Kind::Duration(low, high)) = setting(name).map(|setting| setting.kind) {
                in_range(
                    values::duration(low)? <= value && value <= values::duration(high)?,
                    low,
                    high,
                )?;
            }
            Ok(value)
        })
    }

    /// A duration that has a default.
    pub(crate) fn duration(&mut self, name: &str) -> Duration {
        self.optional_duration(name).unwrap_or_default()
    }

    /// A size in bytes that has a default.
    pub(crate) fn size(&mut self, name: &str) -> usize {
        let bytes = self.parse(name, |text| {
            let value = values::size(text)?;
            if let Some(Kind::Size(low, high)) = setting(name).map(|setting| setting.kind) {
                in_range(
                    values::size(low)? <= value && value <= values::size(high)?,
                    low,
                    high,
                )?;
            }
            usize::try_from(value).map_err(|_| "it is too large for this machine".to_owned())
        });
        bytes.unwrap_or_default()
    }

    /// A number in its range, if it is set or has a default.
    pub(crate) fn count<T: TryFrom<u64>>(&mut self, name: &str) -> Option<T> {
        self.parse(name, |text| {
            let value: u64 = text
                .parse()
                .map_err(|_| "it is a whole number".to_owned())?;
            if let Some(Kind::Count(low, high)) = setting(name).map(|setting| setting.kind) {
                in_range(low <= value && value <= high, low, high)?;
            }
            T::try_from(value).map_err(|_| "it is too large for this machine".to_owned())
        })
    }

    /// One of the words of the setting, if it is set or has a default.
    pub(crate) fn word(&mut self, name: &str) -> Option<String> {
        self.parse(name, |text| {
            match setting(name).map(|setting| setting.kind) {
                Some(Kind::Word(words)) if !words.contains(&text) => {
                    Err(format!("it must be {}", words.join(" or ")))
                }
                _ => Ok(text.to_owned()),
            }
        })
    }

    /// Whether a switch is on.
    pub(crate) fn switch(&mut self, name: &str) -> bool {
        let on = self.parse(name, |text| match text {
            "on" | "true" | "yes" | "1" => Ok(true),
            "off" | "false" | "no" | "0" => Ok(false),
            _ => Err("it must be on or off".to_owned()),
        });
        on.unwrap_or(false)
    }

    /// All values of a list that may be written with commas.
    pub(crate) fn names<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let split = |text: String| {
            text.split(',')
                .map(|name| name.trim().to_owned())
                .collect::<Vec<_>>()
        };
        let values = self
            .raw(name)
            .0
            .into_iter()
            .flat_map(split)
            .filter(|name| !name.is_empty());
        self.each(name, values.collect(), parse)
    }

    /// All values of a list of whole lines.
    pub(crate) fn lines<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let values = self.raw(name).0;
        self.each(name, values, parse)
    }

    fn each<T>(
        &mut self,
        name: &str,
        values: Vec<String>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let mut good = Vec::new();
        let origin = self.raw(name).1;
        for value in values {
            match parse(&value) {
                Ok(value) => good.push(value),
                Err(error) => self.wrong.push(format!("{origin} `{value}`: {error}")),
            }
        }
        good
    }

    /// The one value of a setting, or its default.
    pub(crate) fn parse<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (values, origin) = self.raw(name);
        let secret = setting(name).is_some_and(|setting| matches!(setting.kind, Kind::Secret(_)));
        let value = values.last()?;
        match parse(value) {
            Ok(value) => Some(value),
            Err(error) => {
                let shown = if secret {
                    String::new()
                } else {
                    format!(" `{value}`")
                };
                self.wrong.push(format!("{origin}{shown}: {error}"));
                None
            }
        }
    }

    /// What was written, and where; the default if nothing was.
    fn raw(&mut self, name: &str) -> (Vec<String>, String) {
        let Some(setting) = setting(name) else {
            return (Vec::new(), name.to_owned());
        };
        match self.sources.find(setting) {
            Ok(Some(found)) => (found.values, found.origin),
            Ok(None) => {
                let default = setting.default.map(str::to_owned);
                (default.into_iter().collect(), format!("--{name}"))
            }
            Err(error) => {
                self.wrong.push(error);
                (Vec::new(), format!("--{name}"))
            }
        }
    }
}

fn in_range(
    inside: bool,
    low: impl std::fmt::Display,
    high: impl std::fmt::Display,
) -> Result<(), String> {
    if inside {
        Ok(())
    } else {
        Err(format!("it must be between {low} and {high}"))
    }
}
