//! Structures of the kernel: no probes, but what trace's expressions go through.

use std::collections::BTreeSet;

use anyhow::bail;

use crate::{
    render::{ListedProbe, ProbeKind},
    spec::Pattern,
    suggest,
    types::{Btf, Keyword, TypeSource as _},
};

/// Structures or unions that are asked for, as `bpftrace -lv` takes them: `struct task_*`.
#[derive(Clone, Debug)]
pub struct Structures {
    keyword: Keyword,
    name: String,
}

impl Structures {
    /// Nothing if `text` means something else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (word, name) = text.trim().split_once(' ')?;
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '*');
        let name = name.trim();
        Some(Self {
            keyword: keyword(word)?,
            name: name.to_owned(),
        })
        .filter(|_| !name.is_empty() && name.chars().all(is_of_name))
    }

    /// Those that the kernel describes.
    ///
    /// # Errors
    ///
    /// When there are none.
    pub(super) fn find(&self) -> anyhow::Result<Vec<ListedProbe>> {
        let all: BTreeSet<String> = Btf::of_kernel()?.names(self.keyword).into_iter().collect();
        let pattern = Pattern::glob(&self.name);
        let found = all.iter().filter(|name| pattern.matches(name));
        let listed: Vec<ListedProbe> = found.map(|name| self.listed(name)).collect();
        if listed.is_empty() {
            let nearest = suggest::nearest(&self.name, all.iter().map(String::as_str), 3);
            let hint = match nearest.as_slice() {
                [] => String::new(),
                nearest => format!("; {}", suggest::did_you_mean(nearest)),
            };
            bail!(
                "the kernel describes no {} `{}`{hint}",
                self.word(),
                self.name
            );
        }
        Ok(listed)
    }

    fn word(&self) -> &'static str {
        match self.keyword {
            Keyword::Union => "union",
            _ => "struct",
        }
    }

    fn listed(&self, name: &str) -> ListedProbe {
        ListedProbe {
            spec: format!("{} {name}", self.word()),
            kind: ProbeKind::Structure,
            name: name.to_owned(),
            module: None,
            file: None,
            places: 0,
            detail: None,
        }
    }
}

/// `struct` and `union`.
pub(super) fn keyword(word: &str) -> Option<Keyword> {
    match word {
        "struct" => Some(Keyword::Struct),
        "union" => Some(Keyword::Union),
        _ => None,
    }
}
