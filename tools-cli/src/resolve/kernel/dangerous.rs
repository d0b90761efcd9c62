//! Functions that a pattern does not mean, because probing them hangs the machine, recurses, or
//! shows nothing but the probes themselves. Whoever names one in full gets it.
//!
//! The kernel marks most such functions itself (`notrace`, `NOKPROBE_SYMBOL`); these are the ones
//! that it leaves to the tools.

use std::{collections::HashMap, sync::LazyLock};

use crate::spec::Pattern;

/// Functions that share a reason.
struct Group {
    reason: &'static str,
    patterns: &'static [&'static str],
}

const GROUPS: &[Group] = &[
    Group {
        reason: "the handling of every probe runs through it",
        patterns: &[
            "__bpf_*",
            "bpf_*",
            "___bpf_*",
            "htab_*",
            "__htab_*",
            "array_map_*",
            "percpu_array_*",
            "ringbuf_*",
            "trace_call_bpf",
            "kprobe_multi_*",
            "uprobe_multi_*",
            "copy_from_kernel_nofault*",
            "copy_from_user_nofault*",
            "migrate_disable",
            "migrate_enable",
            "__migrate_*",
            "bsearch",
        ],
    },
    Group {
        reason: "the tracing machinery runs through it",
        patterns: &[
            "ftrace_*",
            "__ftrace_*",
            "trace_*",
            "__trace_*",
            "tracing_*",
            "ring_buffer_*",
            "rb_*",
            "fprobe_*",
            "rethook_*",
            "__rethook_*",
            "arch_rethook_*",
            "kprobe_*",
            "__kprobe*",
            "kretprobe_*",
            "aggr_*",
            "opt_*_callback",
            "perf_trace_*",
            "perf_tp_*",
            "perf_swevent_*",
            "perf_ftrace_*",
            "function_trace_*",
            "function_graph_*",
            "prepare_ftrace_return",
            "return_to_handler",
            "event_trigger_*",
            "trampoline_*",
        ],
    },
    Group {
        reason: "RCU's read side runs in every probe",
        patterns: &[
            "rcu_*",
            "__rcu_*",
            "srcu_*",
            "__srcu_*",
            "context_tracking_*",
            "ct_*",
            "__ct_*",
            "in_lock_functions",
        ],
    },
    Group {
        reason: "the entry to the kernel runs it before the kernel can handle a probe",
        patterns: &[
            "asm_*",
            "exc_*",
            "do_int3*",
            "*_int3_*",
            "poke_int3_*",
            "irqentry_*",
            "*_to_user_mode*",
            "enter_from_user_mode",
            "syscall_enter_from_user_mode*",
            "syscall_exit_to_user_mode*",
            "error_entry",
            "nmi_*",
            "do_nmi",
            "default_do_nmi",
            "sysvec_*",
            "fixup_exception",
            "search_exception_tables",
            "search_extable",
            "notify_die",
            "atomic_notifier_*",
            "get_kprobe",
            "native_iret*",
        ],
    },
    Group {
        reason: "it counts preemption or takes the locks that handling a probe takes",
        patterns: &[
            "preempt_count_*",
            "preempt_schedule*",
            "__preempt_*",
            "_raw_spin_*",
            "__raw_spin_*",
            "queued_spin_*",
            "native_queued_*",
            "__pv_queued_*",
            "__lock_text_*",
            "lock_acquire*",
            "lock_release*",
            "lockdep_*",
            "__lockdep_*",
            "debug_lockdep_*",
            "_raw_read_*",
            "_raw_write_*",
        ],
    },
    Group {
        reason: "it runs with the clock or the idle loop, where a probe can hang the machine",
        patterns: &[
            "do_idle",
            "cpu_idle*",
            "cpuidle_*",
            "default_idle*",
            "arch_cpu_idle*",
            "intel_idle*",
            "acpi_idle*",
            "tick_nohz_idle*",
            "sched_clock*",
            "local_clock*",
            "native_sched_clock*",
            "ktime_get_mono_fast*",
            "ktime_get_*fast_ns",
            "read_hpet",
            "kvm_clock_*",
            "pvclock_*",
            "native_*",
            "paravirt_*",
            "__raw_callee_save_*",
            "default_send_*",
            "x2apic_*",
            "native_apic_*",
            "stop_machine*",
            "multi_cpu_stop",
            "stop_one_cpu*",
            "text_poke*",
            "smp_text_poke*",
            "__text_poke*",
        ],
    },
    Group {
        reason: "the kernel prints what goes wrong with a probe through it",
        patterns: &[
            "printk*",
            "_printk*",
            "vprintk*",
            "console_*",
            "stack_trace_*",
            "unwind_*",
            "__unwind_*",
            "get_stack_info*",
            "__sanitizer_*",
            "__tsan_*",
            "__kcsan_*",
            "kasan_*",
            "__asan_*",
            "__stack_chk_fail",
            "kcov_*",
            "__fentry__",
            "__x86_*thunk*",
            "__x86_indirect_*",
            "__x86_return_*",
        ],
    },
];

/// Why a pattern does not mean `name`; nothing if it may.
pub(super) fn reason(name: &str) -> Option<&'static str> {
    static KNOWN: LazyLock<Known> = LazyLock::new(Known::new);
    KNOWN.reason(name)
}

/// The patterns of all groups, prepared: they are held against every function of the kernel.
struct Known {
    /// Those that end in their only star, without it, by their first byte.
    prefixes: HashMap<u8, Vec<(&'static str, &'static str)>>,
    others: Vec<(Pattern, &'static str)>,
}

impl Known {
    fn new() -> Self {
        let mut known = Self {
            prefixes: HashMap::new(),
            others: Vec::new(),
        };
        for group in GROUPS {
            for pattern in group.patterns {
                known.add(pattern, group.reason);
            }
        }
        known
    }

    fn add(&mut self, pattern: &'static str, reason: &'static str) {
        let prefix = pattern.strip_suffix('*').filter(|it| !it.contains('*'));
        match prefix.and_then(|prefix| Some((prefix, prefix.bytes().next()?))) {
            Some((prefix, first)) => {
                let same = self.prefixes.entry(first).or_default();
                same.push((prefix, reason));
            }
            None => self.others.push((Pattern::glob(pattern), reason)),
        }
    }

    fn reason(&self, name: &str) -> Option<&'static str> {
        let same = self.prefixes.get(name.as_bytes().first()?);
        let prefixes = same.into_iter().flatten();
        let mut by_prefix = prefixes.filter(|(prefix, _)| name.starts_with(prefix));
        let by_prefix = by_prefix.next().map(|(_, reason)| *reason);
        by_prefix.or_else(|| {
            let mut others = self.others.iter();
            let other = others.find(|(pattern, _)| pattern.matches(name));
            other.map(|(_, reason)| *reason)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machinery_is_dangerous_and_ordinary_functions_are_not() {
        for name in [
            "bpf_get_current_comm",
            "rcu_read_lock_any",
            "ftrace_caller",
            "preempt_count_add",
            "_raw_spin_lock_irqsave",
            "do_idle",
            "exc_int3",
        ] {
            assert!(reason(name).is_some(), "{name}");
        }
        for name in [
            "vfs_read",
            "do_sys_openat2",
            "tcp_sendmsg",
            "__x64_sys_read",
            "kmem_cache_alloc_noprof",
            "ext4_readdir",
            "tcp_sock_set_keepidle",
            "schedule",
            "try_to_wake_up",
            "handle_mm_fault",
            "wake_up_process",
        ] {
            assert_eq!(reason(name), None, "{name}");
        }
    }
}
