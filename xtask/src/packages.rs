//! Debian packages: installed where they are missing, or unpacked without installing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use crate::command::{output, run};

/// Installs those of `packages` that are missing.
///
/// # Errors
///
/// When apt can't.
pub fn install(packages: &[&str]) -> anyhow::Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|package| !is_installed(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let install = || {
        let mut apt = Command::new("apt-get");
        apt.args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(&missing)
            .env("DEBIAN_FRONTEND", "noninteractive");
        output(&mut apt)
    };
    // The lists may be old, or not there yet.
    if install().is_err() {
        output(Command::new("apt-get").args(["update", "-qq"]))?;
        install().with_context(|| format!("install these by hand: {}", missing.join(" ")))?;
    }
    Ok(())
}

fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f", "${db:Status-Status}", package]);
    output(&mut query).is_ok_and(|status| status == "installed")
}

/// Another suite of the machine's own mirror, apart from the machine's own packages.
#[derive(Debug)]
pub struct Suite {
    folder: PathBuf,
}

impl Suite {
    /// Reads the lists of `suite` into `folder`.
    ///
    /// # Errors
    ///
    /// When the machine's sources name no mirror, or it does not have the suite.
    pub fn open(suite: &str, folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder.join("lists/partial"))?;
        fs::create_dir_all(folder.join("cache/archives/partial"))?;
        let mirror = mirror(suite.ends_with("-security"))?;
        let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
        let line = format!("deb [signed-by={keyring}] {mirror} {suite} main\n");
        fs::write(folder.join("sources.list"), line)?;
        let suite = Self {
            folder: folder.to_owned(),
        };
        output(suite.apt("apt-get").arg("update"))?;
        Ok(suite)
    }

    /// The name of the newest package whose name begins and ends so.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn newest(&self, prefix: &str, suffix: &str) -> anyhow::Result<String> {
        let names = output(self.apt("apt-cache").arg("pkgnames").arg(prefix))?;
        let candidates = names.lines().filter(|name| name.ends_with(suffix));
        candidates
            .max_by_key(|name| numbers(name))
            .map(str::to_owned)
            .with_context(|| format!("found no package {prefix}*{suffix}"))
    }

    /// Downloads a package and unpacks it into `to`.
    ///
    /// # Errors
    ///
    /// When either fails.
    pub fn unpack(&self, package: &str, to: &Path) -> anyhow::Result<()> {
        let mut download = self.apt("apt-get");
        output(
            download
                .args(["download", package])
                .current_dir(&self.folder),
        )?;
        let file = fs::read_dir(&self.folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| {
                let name = path.file_name().and_then(|name| name.to_str());
                name.is_some_and(|name| name.starts_with(&format!("{package}_")))
            })
            .with_context(|| format!("{package} was not downloaded"))?;
        run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(to))?;
        Ok(fs::remove_file(file)?)
    }

    fn apt(&self, program: &str) -> Command {
        let mut apt = Command::new(program);
        for (option, value) in [
            ("Dir::Etc::sourcelist", self.folder.join("sources.list")),
            ("Dir::Etc::sourceparts", PathBuf::from("-")),
            ("Dir::State::lists", self.folder.join("lists")),
            ("Dir::Cache", self.folder.join("cache")),
        ] {
            apt.arg("-o").arg(format!("{option}={}", value.display()));
        }
        apt
    }
}

/// The numbers in a name, to compare versions by.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

/// The address that this machine gets its packages from; that of security updates may differ.
///
/// # Errors
///
/// When its sources name none.
pub fn mirror(security: bool) -> anyhow::Result<String> {
    let mut texts = vec![fs::read_to_string("/etc/apt/sources.list").unwrap_or_default()];
    for entry in fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
    {
        texts.push(fs::read_to_string(entry?.path()).unwrap_or_default());
    }
    let sources = texts.iter().flat_map(|text| sources(text));
    let found = sources
        .filter(|(_, suite)| is_debian_suite(suite))
        .find(|(_, suite)| suite.ends_with("-security") == security);
    match found {
        Some((address, _)) => Ok(address),
        None => bail!("the sources of apt on this machine name no mirror of Debian"),
    }
}

/// Other projects name their suites after themselves.
fn is_debian_suite(suite: &str) -> bool {
    let name = suite.split('-').next().unwrap_or_default();
    let names = [
        "bullseye", "bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable",
    ];
    names.contains(&name) && !suite.contains('/')
}

/// Addresses and suites in either format of apt's sources.
fn sources(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut addresses: Vec<String> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("URIs:") {
            addresses = rest.split_whitespace().map(str::to_owned).collect();
        } else if let Some(rest) = line.strip_prefix("Suites:") {
            for suite in rest.split_whitespace() {
                let pairs = addresses
                    .iter()
                    .map(|address| (address.clone(), suite.to_owned()));
                found.extend(pairs);
            }
        } else if let Some(rest) = line.strip_prefix("deb ") {
            let words = rest.split_whitespace();
            let mut words = words.skip_while(|word| !word.contains("://"));
            if let (Some(address), Some(suite)) = (words.next(), words.next()) {
                found.push((address.to_owned(), suite.to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_of_sources_are_read() {
        let pair = |suite: &str| ("http://mirror.test/debian".to_owned(), suite.to_owned());
        let new =
            "Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\n";
        assert_eq!(sources(new), [pair("bookworm"), pair("bookworm-updates")]);
        let old = "# comment\ndeb [arch=amd64] http://mirror.test/debian bookworm main\n";
        assert_eq!(sources(old), [pair("bookworm")]);
        assert!(is_debian_suite("bookworm-security") && !is_debian_suite("cloud-sdk-bookworm"));
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(numbers("linux-image-6.1.0-9-cloud") < numbers("linux-image-6.1.0-50-cloud"));
    }
}
