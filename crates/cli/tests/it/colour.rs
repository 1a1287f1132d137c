//! Colours: on a terminal, unless somebody says otherwise.

use crate::support::{Dev, command, on_terminal};

/// The word of a job's status in green.
const GREEN: &str = "\x1b[32msucceeded\x1b[0m";

fn done() -> (Dev, String) {
    let dev = Dev::start();
    let id = dev.submit(&["shout", "1"]);
    assert_eq!(dev.run(&["wait", &id]).code, 0);
    (dev, id)
}

#[test]
fn on_a_terminal_there_are_colours_unless_the_flag_or_no_color_forbids_them() {
    let (dev, id) = done();
    let shown = |more: &str, no_color: &[(&str, &str)]| {
        let environment = [&[("CLERKWORK_URL", dev.url.as_str())], no_color].concat();
        let said = on_terminal(&format!("clerkwork get {id} {more}"), &environment);
        assert!(said.code == 0 && said.out.contains("succeeded"), "{said:?}");
        said.out.contains(GREEN)
    };
    assert!(shown("", &[]));
    assert!(shown("--color auto", &[]));
    assert!(!shown("--color never", &[]));
    let no_color = [("NO_COLOR", "1")];
    assert!(!shown("", &no_color));
    assert!(!shown("--color auto", &no_color));
    assert!(shown("--color always", &no_color), "a flag comes first");
    assert!(
        shown("", &[("NO_COLOR", "")]),
        "empty is as if it were not there"
    );
}

#[test]
fn elsewhere_there_are_no_colours_unless_the_flag_wants_them() {
    let (dev, id) = done();
    for words in [&["get", &id][..], &["list"], &["cancel", &id]] {
        for (when, wanted) in [("auto", false), ("never", false), ("always", true)] {
            let said = dev.run(&[words, &["--color", when]].concat());
            assert_eq!(said.out.contains(GREEN), wanted, "{said:?}");
            assert_eq!(said.out.contains('\x1b'), wanted, "{said:?}");
        }
    }
    // Nothing but what is for people is ever coloured.
    let said = dev.run(&["get", &id, "-o", "json", "--color", "always"]);
    assert!(!said.out.contains('\x1b'), "{said:?}");
}

#[test]
fn a_word_that_is_no_choice_of_colours_is_told() {
    let output = command(&["list", "--color", "sometimes"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    for choice in ["auto", "always", "never"] {
        assert!(said.contains(choice), "{said}");
    }
}
