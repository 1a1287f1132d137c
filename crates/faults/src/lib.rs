//! Faults that tests plant: points of a job's path at which the process kills itself, and defects
//! that a checker must find.
//!
//! Both exist only where debug assertions are on. In a release build [`reach`] and [`has`] are empty
//! and the environment is not looked at.
//!
//! ```sh
//! CLERKWORK_FAIL=record.after_commit=abort@3 clerkwork clerk …   # SIGKILL at the third time
//! CLERKWORK_DEFECT=ack-before-confirm clerkwork worker …
//! CLERKWORK_FAULTS=7:0.02 clerkwork dev …                    # `clerkwork-faulty`: 2 % of the calls go wrong
//! ```

mod defect;
mod point;

pub use defect::{Defect, has, plant};
pub use point::{Plan, Point, is_planned, reach};

/// A fault that was asked for and that there is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown(String);

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unknown {}

/// Whether this build carries faults.
pub const ARMED: bool = cfg!(debug_assertions);

/// Arms this process with what `CLERKWORK_FAIL` and `CLERKWORK_DEFECT` say; nothing in a release build.
///
/// # Errors
/// One of them names something that there is not.
pub fn arm() -> Result<(), Unknown> {
    if !ARMED {
        return Ok(());
    }
    if let Ok(text) = std::env::var("CLERKWORK_FAIL") {
        point::arm(text.parse()?);
    }
    if let Ok(text) = std::env::var("CLERKWORK_DEFECT") {
        plant(Some(text.parse()?));
    }
    Ok(())
}

/// An enum whose variants have names, by which tests ask for them.
macro_rules! named {
    ($(#[$about:meta])* $kind:ident as $word:literal { $($(#[$doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $kind { $($(#[$doc])* $variant,)+ }

        impl $kind {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name by which it is asked for.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl std::str::FromStr for $kind {
            type Err = crate::Unknown;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|known| known.name() == name).ok_or_else(|| {
                    let all: Vec<_> = Self::ALL.iter().map(|known| known.name()).collect();
                    crate::Unknown(format!(concat!("there is no ", $word, " {:?}; there are: {}"), name, all.join(", ")))
                })
            }
        }
    };
}
use named;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_build_carries_no_faults() {
        assert_eq!(ARMED, cfg!(debug_assertions));
        // Armed or not, what is not planned does not happen.
        assert!(!is_planned(Point::RecordAfterCommit));
        reach(Point::RecordAfterCommit);
    }
}
