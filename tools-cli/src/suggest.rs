//! Names near to one that was not found.

use crate::snippet::escape;

/// The cost of one typing mistake; smaller steps are left for finer distinctions.
const MISTAKE: usize = 10;

/// Up to `at_most` names out of `known` that the user may have meant by `wanted`, best first.
///
/// Near are names with few typing mistakes in them (`vfs_raed`), names that contain `wanted`
/// (`open`: `do_sys_open`), and names that `wanted` contains (`malloc_`: `malloc`); upper and lower
/// case hardly matter. Empty when nothing is near. All names of a kernel, 122,000, took 11 to 29 ms.
#[must_use]
pub fn nearest<'a>(
    wanted: &str,
    known: impl Iterator<Item = &'a str>,
    at_most: usize,
) -> Vec<String> {
    let wanted = Wanted::new(wanted);
    let mut lowered = String::new();
    let mut found: Vec<(usize, &str)> = known
        .filter_map(|name| Some((wanted.cost(name, &mut lowered)?, name)))
        .collect();
    // Of equally near names the shorter is the more likely; then by name, so that the answer does
    // not depend on the order of a symbol table.
    found.sort_unstable_by_key(|&(cost, name)| (cost, name.len(), name));
    found.dedup();
    found
        .iter()
        .take(at_most)
        .map(|(_, name)| (*name).to_owned())
        .collect()
}

/// ``did you mean `a`, `b` or `c`?``, or nothing if there are no names.
#[must_use]
pub fn did_you_mean(names: &[String]) -> String {
    let quoted: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", escape(name)))
        .collect();
    match quoted.as_slice() {
        [] => String::new(),
        [only] => format!("did you mean {only}?"),
        [others @ .., last] => format!("did you mean {} or {last}?", others.join(", ")),
    }
}

/// The name that was not found, with what is needed to compare many names with it.
struct Wanted<'a> {
    text: &'a str,
    lowered: String,
    /// Characters in it.
    length: usize,
    letters: u64,
    mistakes_allowed: usize,
}

impl<'a> Wanted<'a> {
    fn new(text: &'a str) -> Self {
        let lowered = text.to_ascii_lowercase();
        let length = lowered.chars().count();
        let mistakes_allowed = match length {
            // Every other name of one letter is one mistake away.
            0 | 1 => 0,
            _ => (length / 3).clamp(1, 3),
        };
        Self {
            text,
            length,
            letters: letters(&lowered),
            lowered,
            mistakes_allowed,
        }
    }

    /// How far off `name` is, or `None` if too far. `lowered` is a buffer, reused because there can
    /// be a hundred thousand names.
    fn cost(&self, name: &str, lowered: &mut String) -> Option<usize> {
        lowered.clear();
        lowered.push_str(name);
        lowered.make_ascii_lowercase();
        let cost = [
            self.cost_of_mistakes(lowered),
            self.cost_of_containing(lowered),
        ]
        .into_iter()
        .flatten()
        .min()?;
        Some(cost + usize::from(cost == 0 && name != self.text))
    }

    fn cost_of_mistakes(&self, name: &str) -> Option<usize> {
        if !self.may_be_near(name) {
            return None;
        }
        let mistakes = strsim::osa_distance(&self.lowered, name);
        (mistakes <= self.mistakes_allowed).then_some(mistakes * MISTAKE)
    }

    /// A cheap check that few names pass: the distance proper takes a hundred times longer.
    fn may_be_near(&self, name: &str) -> bool {
        let allowed = self.mistakes_allowed;
        let letters = letters(name);
        // One mistake adds at most one character and removes at most one.
        name.chars().count().abs_diff(self.length) <= allowed
            && (letters & !self.letters).count_ones() as usize <= allowed
            && (self.letters & !letters).count_ones() as usize <= allowed
    }

    fn cost_of_containing(&self, name: &str) -> Option<usize> {
        let (long, short) = if name.len() > self.lowered.len() {
            (name, self.lowered.as_str())
        } else {
            (self.lowered.as_str(), name)
        };
        // Two letters are somewhere in most names; and a short name inside a long wanted one, such
        // as `read` in `my_reader_function`, is chance.
        let by_chance = short.len() < 3 || (short == name && short.len() * 2 < long.len());
        if by_chance {
            return None;
        }
        let as_word = long
            .match_indices(short)
            .map(|(at, _)| is_word(long, at, short.len()))
            .max()?;
        let inside_word = if as_word { 0 } else { MISTAKE };
        Some(MISTAKE + inside_word + long.len() - short.len())
    }
}

/// Whether the `length` bytes of `text` from `at` have no letter or digit on either side.
fn is_word(text: &str, at: usize, length: usize) -> bool {
    let before = text[..at].chars().next_back();
    let after = text[at + length..].chars().next();
    ![before, after]
        .into_iter()
        .flatten()
        .any(char::is_alphanumeric)
}

/// Which characters are in `text`, as a set; several characters may share a bit.
fn letters(text: &str) -> u64 {
    text.chars()
        .fold(0, |set, character| set | 1 << (u32::from(character) % 64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KNOWN: [&str; 14] = [
        "vfs_read",
        "vfs_write",
        "vfs_readv",
        "do_sys_open",
        "do_sys_openat2",
        "malloc",
        "calloc",
        "free",
        "reopened_files",
        "SSL_read",
        "__x64_sys_nanosleep",
        "read",
        "kmalloc_trace",
        "größe",
    ];

    fn first(wanted: &str) -> Option<String> {
        nearest(wanted, KNOWN.into_iter(), 3).into_iter().next()
    }

    #[test]
    fn the_best_comes_first() {
        for (wanted, expected) in [
            ("vfs_raed", "vfs_read"),
            ("vfs_rea", "vfs_read"),
            ("malloc_", "malloc"),
            ("__malloc", "malloc"),
            ("maloc", "malloc"),
            ("open", "do_sys_open"),
            ("sys_nanosleep", "__x64_sys_nanosleep"),
            ("ssl_read", "SSL_read"),
            ("ssl_raed", "SSL_read"),
            ("grösse", "größe"),
            ("read", "read"),
        ] {
            assert_eq!(first(wanted).as_deref(), Some(expected), "{wanted}");
        }
    }

    #[test]
    fn nothing_is_near_to_nonsense() {
        for wanted in ["", "q", "zz", "frobnicate_the_widget", "xyz"] {
            assert_eq!(first(wanted), None, "{wanted}");
        }
    }

    #[test]
    fn a_whole_word_is_nearer_than_a_part_of_one() {
        let found = nearest("open", KNOWN.into_iter(), 5);
        assert_eq!(found, ["do_sys_open", "do_sys_openat2", "reopened_files"]);
    }

    #[test]
    fn no_more_than_asked_for_and_no_name_twice() {
        assert_eq!(nearest("read", KNOWN.into_iter(), 1), ["read"]);
        assert_eq!(nearest("read", KNOWN.into_iter(), 0), [""; 0]);
        assert_eq!(nearest("fre", ["free", "free"].into_iter(), 5), ["free"]);
    }

    #[test]
    fn the_order_of_the_names_does_not_matter() {
        let forward = nearest("vfs_reed", KNOWN.into_iter(), 5);
        let backward = nearest("vfs_reed", KNOWN.into_iter().rev(), 5);
        assert_eq!(forward, backward);
    }

    #[test]
    fn few_names_of_a_kernel_need_the_slow_comparison() {
        let names: Vec<String> = ["vfs", "tcp", "ext4", "blk_mq", "sched", "__x64_sys", "kvm"]
            .iter()
            .flat_map(|subsystem| WORDS.iter().map(move |verb| format!("{subsystem}_{verb}")))
            .flat_map(|start| WORDS.iter().map(move |object| format!("{start}_{object}")))
            .collect();
        let wanted = Wanted::new("ext4_raed_page");
        let slow = names.iter().filter(|name| wanted.may_be_near(name)).count();
        assert!(slow * 10 < names.len(), "{slow} of {}", names.len());
        let found = nearest(wanted.text, names.iter().map(String::as_str), 1);
        assert_eq!(found, ["ext4_read_page"]);
    }

    const WORDS: [&str; 12] = [
        "read", "write", "open", "release", "page", "inode", "queue", "lookup", "alloc", "free",
        "timer", "flush",
    ];

    proptest! {
        // The name is made from the wanted one: random pairs are hardly ever near.
        #[test]
        fn the_cheap_check_loses_no_name(
            wanted in "[a-hß€_]{2,14}",
            mistakes in prop::collection::vec((0..14usize, 0..4, "[a-zß€]"), 0..4),
        ) {
            let mut name: Vec<char> = wanted.chars().collect();
            for (at, kind, other) in mistakes {
                let at = at % name.len().max(1);
                match kind {
                    0 => name.splice(at..at, other.chars()).for_each(drop),
                    1 if at < name.len() => drop(name.remove(at)),
                    2 if at < name.len() => name.splice(at..=at, other.chars()).for_each(drop),
                    3 if at + 1 < name.len() => name.swap(at, at + 1),
                    _ => {}
                }
            }
            let name = String::from_iter(name);
            let wanted = Wanted::new(&wanted);
            let distance = strsim::osa_distance(&wanted.lowered, &name);
            let expected = (distance <= wanted.mistakes_allowed).then_some(distance * MISTAKE);
            prop_assert_eq!(wanted.cost_of_mistakes(&name), expected);
        }
    }

    #[test]
    fn names_are_listed_as_in_a_sentence() {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(did_you_mean(&[]), "");
        assert_eq!(did_you_mean(&names(&["a"])), "did you mean `a`?");
        assert_eq!(
            did_you_mean(&names(&["a", "b"])),
            "did you mean `a` or `b`?"
        );
        assert_eq!(
            did_you_mean(&names(&["a", "b", "c"])),
            "did you mean `a`, `b` or `c`?"
        );
        assert_eq!(did_you_mean(&names(&["\x1b"])), "did you mean `\\u{1b}`?");
    }
}
