//! Numbers within bytes that the kernel wrote.

/// The `N` bytes at `at`, as what `from_ne_bytes` takes; nothing if there are fewer.
#[must_use]
pub fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The addresses that `bytes` consists of.
pub fn addresses(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let words = bytes.chunks_exact(8);
    words.filter_map(|word| array_at(word, 0).map(u64::from_ne_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_nothing() {
        assert_eq!(array_at(&[1, 2, 3], 1), Some([2, 3]));
        assert_eq!(array_at::<2>(&[1, 2, 3], 2), None);
        assert_eq!(array_at::<2>(&[1, 2, 3], usize::MAX), None);
        let mut two = 7_u64.to_ne_bytes().to_vec();
        two.extend(9_u64.to_ne_bytes());
        two.push(1);
        assert_eq!(addresses(&two).collect::<Vec<_>>(), [7, 9]);
    }
}
