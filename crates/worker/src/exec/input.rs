//! The input of an attempt as its standard input: all of it is there before the command starts.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// The largest input that is kept in memory.
pub(super) const IN_MEMORY: usize = 1024 * 1024;

/// Makes a file without a name that holds the input, to be read from its begin.
pub(super) fn file(input: &[u8]) -> io::Result<File> {
    if input.len() <= IN_MEMORY
        && let Ok(file) = sealed(input)
    {
        return Ok(file);
    }
    let file = tempfile::tempfile()?;
    file.write_all_at(input, 0)?;
    Ok(file)
}

/// A file in memory that nobody can change any more.
fn sealed(input: &[u8]) -> io::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = File::from(memfd_create(c"clerkwork-input", flags)?);
    file.write_all_at(input, 0)?;
    let seals = SealFlag::F_SEAL_SEAL
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn an_input_is_read_whole_from_its_begin_whatever_its_size() {
        for size in [0, 1, IN_MEMORY, IN_MEMORY + 1] {
            let input: Vec<u8> = (0..=250u8).cycle().take(size).collect();
            let mut read = Vec::new();
            file(&input).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == input, "{size} bytes");
        }
    }

    #[test]
    fn a_small_input_cannot_be_changed() {
        let mut file = file(b"abc").unwrap();
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(0).is_err());
    }
}
