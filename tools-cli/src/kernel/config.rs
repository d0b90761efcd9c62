//! The options that the running kernel was built with.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;

/// Longer texts are not the options of a kernel.
const UP_TO_BYTES: u64 = 16 << 20;

/// Options by their names, without `CONFIG_`.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The file that they were read from.
    pub path: PathBuf,
    values: HashMap<String, String>,
}

impl Config {
    /// Those of the running kernel, which is of the full `release`: from `/proc/config.gz`
    /// (`CONFIG_IKCONFIG_PROC`), or from where distributions put them. Nothing if they are nowhere.
    #[must_use]
    pub fn of_kernel(release: &str) -> Option<Self> {
        let compressed = Path::new("/proc/config.gz");
        let plain = [
            format!("/boot/config-{release}"),
            format!("/lib/modules/{release}/config"),
            format!("/usr/lib/modules/{release}/config"),
        ];
        read_compressed(compressed)
            .map(|text| Self::parse(compressed, &text))
            .ok()
            .or_else(|| {
                plain.iter().find_map(|path| {
                    let text = fs::read_to_string(path).ok()?;
                    Some(Self::parse(Path::new(path), &text))
                })
            })
    }

    fn parse(path: &Path, text: &str) -> Self {
        let lines = text.lines().filter_map(|line| {
            let (name, value) = line.strip_prefix("CONFIG_")?.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        Self {
            path: path.to_owned(),
            values: lines.collect(),
        }
    }

    /// Whether the option is built in or a module.
    #[must_use]
    pub fn has(&self, option: &str) -> bool {
        let value = self.values.get(option);
        value.is_some_and(|value| matches!(value.as_str(), "y" | "m"))
    }
}

fn read_compressed(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let decoder = GzDecoder::new(File::open(path)?);
    decoder.take(UP_TO_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_set_or_not() {
        let text = "# Linux/x86\nCONFIG_KPROBES=y\nCONFIG_LOOP=m\n# CONFIG_FPROBE is not set\n\
            CONFIG_HZ=250\nCONFIG_OFF=n\n";
        let config = Config::parse(Path::new("config"), text);
        let has = ["KPROBES", "LOOP", "FPROBE", "HZ", "OFF", "NONE"].map(|it| config.has(it));
        assert_eq!(has, [true, true, false, false, false, false]);
    }
}
