//! The binary `clerkwork`.

use std::process::ExitCode;

fn main() -> ExitCode {
    clerkwork::command_line()
}
