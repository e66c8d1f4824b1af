//! Files that appear under their name only when they are whole.
//!
//! What is written goes to `NAME.partial`, in order, and is renamed at the end: a run that is interrupted
//! or finds the disk full leaves nothing half-written under the final name. Nothing is synced: a crash of
//! the machine is not what this guards against.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {why}", path.display())]
pub(crate) struct OutputError {
    /// The file or folder.
    pub(crate) path: PathBuf,
    /// What the system said.
    #[source]
    pub(crate) why: io::Error,
}

/// A file being written.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    path: PathBuf,
    partial: PathBuf,
}

impl Output {
    /// Begins the file `path`; an older one of that name stays until [`Self::finish`].
    ///
    /// # Errors
    /// The folder is missing or not writable.
    pub(crate) fn create(path: &Path) -> Result<Self, OutputError> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        match File::create(&partial) {
            Ok(file) => Ok(Self { file, path: path.into(), partial }),
            Err(why) => Err(OutputError { path: partial, why }),
        }
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// What the system says; the partial file stays.
    pub(crate) fn finish(self) -> Result<(), OutputError> {
        fs::rename(&self.partial, &self.path).map_err(|why| OutputError { path: self.path, why })
    }

    /// Removes what was written.
    pub(crate) fn discard(self) {
        // Already on the way out with a better error than this one.
        let _ = fs::remove_file(&self.partial);
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A file that is written now and then and not kept open: thousands of them may be.
#[derive(Debug)]
pub(crate) struct Growing {
    path: PathBuf,
    partial: PathBuf,
}

impl Growing {
    /// Begins the file `path` with nothing in it.
    ///
    /// # Errors
    /// As [`Output::create`].
    pub(crate) fn create(path: &Path) -> Result<Self, OutputError> {
        let Output { path, partial, .. } = Output::create(path)?;
        Ok(Self { path, partial })
    }

    /// Adds bytes at its end.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn append(&self, bytes: &[u8]) -> Result<(), OutputError> {
        let opened = File::options().append(true).open(&self.partial);
        opened.and_then(|mut file| file.write_all(bytes)).map_err(|why| OutputError { path: self.partial.clone(), why })
    }

    /// Gives the file its name, which is told.
    ///
    /// # Errors
    /// What the system says; the partial file stays.
    pub(crate) fn finish(self) -> Result<PathBuf, OutputError> {
        match fs::rename(&self.partial, &self.path) {
            Ok(()) => Ok(self.path),
            Err(why) => Err(OutputError { path: self.path, why }),
        }
    }
}

/// Writes a whole file.
///
/// # Errors
/// What the system says; nothing is left behind.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), OutputError> {
    let mut output = Output::create(path)?;
    match output.write_all(bytes) {
        Ok(()) => output.finish(),
        Err(why) => {
            output.discard();
            Err(OutputError { path: path.into(), why })
        }
    }
}

/// Makes a folder for output, and those above it, and tries whether files can be made in it.
///
/// # Errors
/// It cannot be made, is not a folder, or is not writable.
pub(crate) fn prepare_folder(path: &Path) -> Result<(), OutputError> {
    let error = |why| OutputError { path: path.into(), why };
    fs::create_dir_all(path).map_err(error)?;
    Output::create(&path.join("everyhop"))?.discard();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("all.pcapng");
        let mut output = Output::create(&path).unwrap();
        output.write_all(b"some").unwrap();
        assert!(!path.exists());
        assert_eq!(fs::read(folder.path().join("all.pcapng.partial")).unwrap(), b"some", "readable at any moment");
        output.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"some");
        assert!(!folder.path().join("all.pcapng.partial").exists());
    }

    #[test]
    fn an_older_file_stays_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        write_whole(&path, b"old").unwrap();
        let mut output = Output::create(&path).unwrap();
        output.write_all(b"ne").unwrap();
        drop(output);
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told_before_anything_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        write_whole(&file, b"").unwrap();
        assert!(prepare_folder(&file).unwrap_err().to_string().starts_with("cannot write "));
        prepare_folder(&folder.path().join("a/b")).unwrap();
        assert_eq!(fs::read_dir(folder.path().join("a/b")).unwrap().count(), 0);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_leaves_nothing_behind() {
        let mut full = Output {
            file: File::options().write(true).open("/dev/full").unwrap(),
            path: "x".into(),
            partial: "x.partial".into(),
        };
        assert_eq!(full.write_all(b"x").unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
