//! The many spellings of C's integer types.

/// How compilers spell the type that is written `name`: gcc calls `unsigned long` "long unsigned
/// int", clang "unsigned long". Any other name is spelled only as it is.
pub(super) fn variants(name: &str) -> Vec<&str> {
    integer(name).map_or_else(|| vec![name], <[&str]>::to_vec)
}

fn integer(name: &str) -> Option<&'static [&'static str]> {
    let (mut longs, mut shorts, mut ints, mut chars) = (0, 0, 0, 0);
    let (mut signed, mut unsigned) = (0, 0);
    for word in name.split_whitespace() {
        match word {
            "long" => longs += 1,
            "short" => shorts += 1,
            "int" => ints += 1,
            "char" => chars += 1,
            "signed" => signed += 1,
            "unsigned" => unsigned += 1,
            "_Bool" | "bool" if name == word => return Some(&["_Bool", "bool"]),
            _ => return None,
        }
    }
    if ints > 1 || signed + unsigned > 1 {
        return None;
    }
    Some(match (unsigned, chars, shorts, longs) {
        (0, 1, 0, 0) if ints == 0 && signed == 0 => &["char"],
        (0, 1, 0, 0) if ints == 0 => &["signed char"],
        (_, 1, 0, 0) if ints == 0 => &["unsigned char"],
        (0, 0, 1, 0) => &["short int", "short"],
        (_, 0, 1, 0) => &["short unsigned int", "unsigned short"],
        (0, 0, 0, 0) if ints + signed > 0 => &["int"],
        (1, 0, 0, 0) => &["unsigned int"],
        (0, 0, 0, 1) => &["long int", "long"],
        (_, 0, 0, 1) => &["long unsigned int", "unsigned long"],
        (0, 0, 0, 2) => &["long long int", "long long"],
        (_, 0, 0, 2) => &["long long unsigned int", "unsigned long long"],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_to_write_an_integer_are_one_type() {
        for name in [
            "unsigned long",
            "long unsigned",
            "unsigned long int",
            "int long unsigned",
        ] {
            assert_eq!(
                variants(name),
                ["long unsigned int", "unsigned long"],
                "{name}"
            );
        }
        assert_eq!(variants("unsigned"), ["unsigned int"]);
        assert_eq!(variants("signed"), ["int"]);
        assert_eq!(variants("signed int"), ["int"]);
        assert_eq!(variants("long long"), ["long long int", "long long"]);
        assert_eq!(variants("char"), ["char"]);
        assert_eq!(variants("char signed"), ["signed char"]);
        assert_eq!(variants("bool"), ["_Bool", "bool"]);
    }

    #[test]
    fn other_names_are_left_alone() {
        for name in [
            "",
            "u8",
            "long double",
            "int int",
            "signed unsigned",
            "short long",
            "char int",
        ] {
            assert_eq!(variants(name), [name], "{name}");
        }
    }
}
