//! Functions of the kernel that can be probed.

mod dangerous;
pub(crate) mod kallsyms;
pub(crate) mod traceable;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
};

use self::{kallsyms::Symbol, traceable::Traceable};
use super::{
    Error, KernelAddr, Tracefs,
    found::Found,
    probe::{AttachPoint, KernelPoint, Probe},
    suggest,
};
use crate::{
    attach::Skipped,
    kernel::blacklist::Blacklist,
    spec::{Function, Pattern},
};

/// Finds the kernel functions that `function` means.
///
/// A literal name is taken as it is; a pattern is held against the functions that ftrace lists,
/// less those that the kernel forbids kprobes in, or that are dangerous to probe.
///
/// # Errors
///
/// When there are none, or the kernel's symbols can't be read.
pub(super) fn find(function: &Function) -> Result<Found, Error> {
    let text = fs::read_to_string("/proc/kallsyms").map_err(Error::Kallsyms)?;
    let symbols = || kallsyms::parse(&text);
    match function.name.literal() {
        Some(_) => find_in(function, symbols(), None),
        None => {
            let tracefs = Tracefs::open();
            let shows_addresses = symbols().any(|symbol| symbol.address.is_some());
            let offer = Offer {
                traceable: &Traceable::read(tracefs.as_ref().ok(), shows_addresses),
                blacklist: Blacklist::of_kernel(),
            };
            find_in(function, symbols(), Some(offer))
        }
    }
}

/// What a pattern is held against.
#[derive(Clone, Copy)]
struct Offer<'a> {
    traceable: &'a Traceable,
    blacklist: &'a Blacklist,
}

impl Offer<'_> {
    /// Why a pattern does not mean a function that can be traced; nothing if it does.
    fn refuses(&self, symbol: &Symbol<'_>) -> Option<&'static str> {
        let address = symbol.address.map(|address| address.0);
        if self.blacklist.forbids(symbol.name, address) {
            return Some("the kernel's blacklist forbids kprobes in it");
        }
        dangerous::reason(symbol.name)
    }
}

fn find_in<'a>(
    function: &Function,
    symbols: impl Iterator<Item = Symbol<'a>> + Clone,
    offer: Option<Offer<'_>>,
) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut chosen: BTreeMap<&str, Vec<Symbol<'a>>> = BTreeMap::new();
    let mut by_address: HashMap<KernelAddr, &str> = HashMap::new();
    for symbol in symbols
        .clone()
        .filter(|symbol| is_meant(&function.name, symbol.name))
    {
        if offer.is_some_and(|offer| !offer.traceable.contains(&symbol)) {
            continue;
        }
        if let Some(reason) = offer.and_then(|offer| offer.refuses(&symbol)) {
            found.left_out.push(Skipped {
                name: symbol.name.to_owned(),
                reason: reason.to_owned(),
            });
            continue;
        }
        // Another name of the same function.
        if let Some(address) = symbol.address
            && *by_address.entry(address).or_insert(symbol.name) != symbol.name
        {
            continue;
        }
        chosen.entry(symbol.name).or_default().push(symbol);
    }
    if chosen.is_empty() && found.left_out.is_empty() {
        let pattern = function.name.to_string();
        let names = symbols.map(|symbol| symbol.name);
        let hint =
            syscall_hint(&pattern, names.clone()).unwrap_or_else(|| suggest(&pattern, names));
        return Err(Error::NoKernelFunction { pattern, hint });
    }
    let probes = chosen
        .into_iter()
        .map(|(name, symbols)| probe(function, name, &symbols));
    found.probes.extend(probes);
    Ok(found)
}

/// The function to use for a system call that is named as on another kernel or CPU.
fn syscall_hint<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    const PREFIXES: [&str; 9] = [
        "__x64_sys_",
        "__arm64_sys_",
        "__s390x_sys_",
        "__riscv_sys_",
        "__se_sys_",
        "__do_sys_",
        "ksys_",
        "SyS_",
        "sys_",
    ];
    let call = PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))?;
    let here = format!("__x64_sys_{call}");
    known
        .into_iter()
        .any(|known| known == here)
        .then(|| format!("; on this kernel the system call is `{here}`, with the call's arguments"))
}

/// Whether the pattern means the name, or the name without what a compiler appends to copies of a
/// function (`vfs_read.isra.0`).
fn is_meant(pattern: &Pattern, name: &str) -> bool {
    const SUFFIXES: [&str; 5] = [".isra.", ".constprop.", ".part.", ".llvm.", ".lto_priv."];
    if pattern.matches(name) {
        return true;
    }
    let ends = SUFFIXES.iter().filter_map(|suffix| name.find(suffix));
    ends.min().is_some_and(|end| pattern.matches(&name[..end]))
}

fn probe(function: &Function, name: &str, symbols: &[Symbol<'_>]) -> Probe {
    let mut points: Vec<_> = symbols
        .iter()
        .map(|symbol| {
            AttachPoint::Kernel(KernelPoint {
                function: name.to_owned(),
                module: symbol.module.map(str::to_owned),
                address: symbol.address,
                offset: function.offset,
                moment: function.moment,
            })
        })
        .collect();
    // With addresses hidden, functions of one name look the same, and are known by it once.
    points.dedup();
    Probe::new(name.to_owned(), points)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Moment;

    const KALLSYMS: &str = "\
ffffffff81000000 T _text
ffffffff81000100 T vfs_read
ffffffff81000100 T vfs_read_alias
ffffffff81000200 t vfs_write.isra.0
ffffffff81000300 t vfs_twin
ffffffff81000400 t vfs_twin
ffffffff81000500 D vfs_data
ffffffff81000600 T vfs_notrace
ffffffff81000700 T rcu_read_lock_sched
ffffffff81000800 T get_kprobe
ffffffffc0000000 t vfs_module\t[ext4]
ffffffffc0001000 t vfs_bpf\t[bpf]
";
    const LISTED: &str = "\
ffffffff81000104 vfs_read
ffffffff81000204 vfs_write.isra.0
ffffffff81000300 vfs_twin
ffffffff81000404 vfs_twin
ffffffff81000704 rcu_read_lock_sched
ffffffff81000804 get_kprobe
ffffffffc0000004 vfs_module [ext4]
";

    fn find_listed(pattern: &str, listed: Option<&str>) -> Result<Found, Error> {
        let function = Function {
            name: Pattern::glob(pattern),
            offset: 0,
            moment: Moment::Entry,
        };
        let traceable = listed.map(Traceable::from_addresses);
        let blacklist = Blacklist::parse("0xffffffff81000800-0xffffffff81000810\tget_kprobe\n");
        let offer = traceable.as_ref().map(|traceable| Offer {
            traceable,
            blacklist: &blacklist,
        });
        find_in(&function, kallsyms::parse(KALLSYMS), offer)
    }

    fn shape(found: &Found) -> Vec<(&str, usize)> {
        let probes = found.probes.iter();
        probes
            .map(|probe| (probe.name.as_str(), probe.points.len()))
            .collect()
    }

    #[test]
    fn a_pattern_means_what_ftrace_lists_each_function_once() {
        let found = find_listed("vfs_*", Some(LISTED)).expect("some");
        let expected = [
            ("vfs_module", 1),
            ("vfs_read", 1),
            ("vfs_twin", 2),
            ("vfs_write.isra.0", 1),
        ];
        assert_eq!(shape(&found), expected);
    }

    #[test]
    fn a_plain_name_means_the_compilers_copies_too() {
        let found = find_listed("vfs_write", None).expect("found");
        assert_eq!(shape(&found), [("vfs_write.isra.0", 1)]);
    }

    #[test]
    fn dangerous_functions_are_left_out_of_patterns_only() {
        let found = find_listed("*rcu*", Some(LISTED)).expect("matched");
        assert_eq!(shape(&found), []);
        assert_eq!(found.left_out.len(), 1);
        let found = find_listed("rcu_read_lock_sched", None).expect("asked for by name");
        assert_eq!(shape(&found), [("rcu_read_lock_sched", 1)]);
    }

    #[test]
    fn what_the_kernel_forbids_is_left_out_of_patterns_only() {
        let found = find_listed("get_kpr*", Some(LISTED)).expect("matched");
        assert_eq!(shape(&found), []);
        assert!(found.left_out[0].reason.contains("blacklist"), "{found:?}");
        let found = find_listed("get_kprobe", None).expect("asked for by name");
        assert_eq!(shape(&found), [("get_kprobe", 1)]);
    }

    #[test]
    fn system_calls_are_told_by_the_name_that_they_have_here() {
        for name in ["__arm64_sys_open", "ksys_open", "__se_sys_open", "sys_open"] {
            let known = ["do_sys_open", "__x64_sys_open"].into_iter();
            let hint = syscall_hint(name, known).expect("it is known");
            assert!(hint.contains("`__x64_sys_open`"), "{name}{hint}");
        }
        assert_eq!(
            syscall_hint("ksys_clone", ["__x64_sys_open"].into_iter()),
            None
        );
        assert_eq!(
            syscall_hint("vfs_open", ["__x64_sys_open"].into_iter()),
            None
        );
    }

    #[test]
    fn an_unknown_name_gets_the_nearest() {
        let error = find_listed("vfs_raed", None)
            .expect_err("unknown")
            .to_string();
        assert!(error.contains("vfs_read"), "{error}");
    }
}
