//! Files that change all at once: a directory per state and one link that is swung over (`..data`), the layout the kubelet
//! has taught programs to watch.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use super::content::Files;

const DATA: &str = "..data";

/// Writes `files` into `dir` unless they are there already.
pub(super) fn write(dir: &Path, files: &Files, group: Option<i64>) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    let current = fs::read_link(dir.join(DATA)).ok();
    if current.as_ref().is_some_and(|name| holds(&dir.join(name), files)) {
        return Ok(());
    }
    let number =
        current.as_ref().and_then(|name| name.to_str()?.strip_prefix("..")?.parse::<u64>().ok()).unwrap_or(0);
    let name = format!("..{}", number + 1);
    let next = dir.join(&name);
    if next.exists() {
        fs::remove_dir_all(&next)?;
    }
    fill(&next, files, group)?;
    let link = dir.join("..data_tmp");
    if link.is_symlink() {
        fs::remove_file(&link)?;
    }
    symlink(&name, &link)?;
    fs::rename(&link, dir.join(DATA))?;
    links(dir, files)?;
    match current {
        Some(old) => fs::remove_dir_all(dir.join(old)),
        None => Ok(()),
    }
}

fn count(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
}

fn holds(dir: &Path, files: &Files) -> bool {
    let same =
        files.iter().all(|(path, file)| fs::read(dir.join(path)).is_ok_and(|bytes| bytes == file.bytes));
    same && count(dir) == files.len() && dir.is_dir()
}

fn fill(dir: &Path, files: &Files, group: Option<i64>) -> io::Result<()> {
    let group = group.and_then(|group| u32::try_from(group).ok());
    fs::create_dir_all(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    for (path, file) in files {
        let path = dir.join(path);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&path, &file.bytes)?;
        let shared = if group.is_some() { 0o440 } else { 0 };
        fs::set_permissions(&path, fs::Permissions::from_mode(file.mode | shared))?;
        if group.is_some() {
            chown(&path, None, group)?;
        }
    }
    Ok(())
}

/// One link per first component; links to what is gone are removed.
fn links(dir: &Path, files: &Files) -> io::Result<()> {
    let wanted: BTreeSet<&str> = files.keys().filter_map(|path| path.split('/').next()).collect();
    for name in &wanted {
        let link = dir.join(name);
        if !link.is_symlink() {
            symlink(Path::new(DATA).join(name), &link)?;
        }
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !wanted.contains(name.as_ref()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::content::File;
    use super::*;

    fn files(pairs: &[(&str, &str)]) -> Files {
        let file = |text: &str| File { bytes: text.as_bytes().to_vec(), mode: 0o640 };
        pairs.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect()
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn contents_change_by_one_link_and_what_is_gone_disappears() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &files(&[("a", "1"), ("d/b", "2")]), None).unwrap();
        assert_eq!(names(dir.path()), ["..1", "..data", "a", "d"]);
        assert_eq!(fs::read_to_string(dir.path().join("d/b")).unwrap(), "2");
        assert_eq!(fs::metadata(dir.path().join("a")).unwrap().permissions().mode() & 0o777, 0o640);
        write(dir.path(), &files(&[("a", "3")]), None).unwrap();
        assert_eq!(names(dir.path()), ["..2", "..data", "a"]);
        assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "3");
    }

    #[test]
    fn the_same_contents_change_nothing() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            write(dir.path(), &files(&[("a", "1")]), None).unwrap();
            assert_eq!(names(dir.path()), ["..1", "..data", "a"]);
        }
    }
}
