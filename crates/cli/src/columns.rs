//! Tables for people: columns of least widths, so that lines can be written as they come.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use crate::exit::Failure;
use crate::terminal::{Format, Terminal};

/// A column: its title, and its least width in characters. A longer cell moves the rest of its line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    title: &'static str,
    width: usize,
    is_number: bool,
}

impl Column {
    /// A column of words, which begin alike.
    pub(crate) const fn words(title: &'static str, width: usize) -> Self {
        Self {
            title,
            width,
            is_number: false,
        }
    }

    /// A column of numbers, which end alike.
    pub(crate) const fn numbers(title: &'static str, width: usize) -> Self {
        Self {
            title,
            width,
            is_number: true,
        }
    }
}

/// The line of titles.
pub(crate) fn titles<const N: usize>(columns: &[Column; N]) -> String {
    line(columns, columns.map(|column| column.title.to_owned()))
}

/// A line of cells.
pub(crate) fn line<const N: usize>(columns: &[Column; N], cells: [String; N]) -> String {
    let mut line = String::new();
    for (column, cell) in columns.iter().zip(cells) {
        // A text of others begins no line and no column.
        let cell = cell.replace(['\n', '\r', '\t'], " ");
        let room = " ".repeat(column.width.saturating_sub(visible(&cell)));
        match column.is_number {
            true => line.extend([room, cell]),
            false => line.extend([cell, room]),
        }
        line.push_str("  ");
    }
    line.truncate(line.trim_end().len());
    line
}

/// Shows all of something: a table for people, one document under `name`, or a document on each line.
pub(crate) fn show_all<const N: usize, T: Serialize>(
    terminal: Terminal,
    name: &str,
    all: &[T],
    columns: &[Column; N],
    cells: impl Fn(&T) -> [String; N],
) -> Result<(), Failure> {
    match terminal.format {
        Format::Text => {
            terminal.line(&titles(columns))?;
            all.iter()
                .try_for_each(|one| terminal.line(&line(columns, cells(one))))
        }
        Format::Json => terminal.json(&json!({ name: all })),
        Format::Jsonl => all.iter().try_for_each(|one| terminal.json(one)),
        Format::None => Ok(()),
    }
}

/// The characters of a cell that a terminal shows: those of colours are not among them.
fn visible(cell: &str) -> usize {
    let parts = cell.split('\u{1b}').enumerate();
    let shown = parts.map(|(i, part)| match (i, part.split_once('m')) {
        (1.., Some((_, rest))) => rest,
        _ => part,
    });
    shown.map(|part| part.chars().count()).sum()
}

/// A duration in one unit, or two letters more: `12ms`, `3.4s`, `12s`, `5m`, `3h`, `4d`.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..10 => format!("{:.1}s", duration.as_secs_f64()),
        10..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// The first line of a text that says something, cut to so many characters.
pub(crate) fn first_line(text: &str, most: usize) -> String {
    let lines = text.lines().map(str::trim);
    let line = lines.into_iter().find(|line| !line.is_empty());
    let line = line.unwrap_or_default();
    match line.char_indices().nth(most) {
        Some(_) => line
            .chars()
            .take(most.saturating_sub(1))
            .chain(['…'])
            .collect(),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column::words("NAME", 6),
        Column::numbers("COUNT", 5),
        Column::words("NOTE", 0),
    ];

    fn row(cells: [&str; 3]) -> String {
        line(&COLUMNS, cells.map(str::to_owned))
    }

    #[test]
    fn cells_stand_under_their_titles_and_colours_take_no_room() {
        assert_eq!(titles(&COLUMNS), "NAME    COUNT  NOTE");
        assert_eq!(row(["a\nb", "1", "c\td"]), "a b         1  c d");
        assert_eq!(row(["a", "12", "b"]), "a          12  b");
        assert_eq!(
            row(["\u{1b}[31mé\u{1b}[0m", "12", ""]),
            "\u{1b}[31mé\u{1b}[0m          12"
        );
        assert_eq!(
            row(["longer than it", "1", "x"]),
            "longer than it      1  x"
        );
    }

    #[test]
    fn spans_are_short() {
        let told = [12, 1_234, 59_900, 150_000, 7_200_000, 259_200_000];
        let told = told.map(|ms| span(Duration::from_millis(ms)));
        assert_eq!(told, ["12ms", "1.2s", "59s", "2m", "2h", "3d"]);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        assert_eq!(first_line("\n  ä short one \nmore", 20), "ä short one");
        assert_eq!(first_line("äöüäöü", 4), "äöü…");
        assert_eq!(first_line("", 4), "");
    }
}
