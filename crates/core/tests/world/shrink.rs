//! Makes the way to a failure shorter.

/// The way without the moves that are not needed for it to fail: none that is left can be left out.
pub(crate) fn shortest<M: Clone>(mut way: Vec<M>, fails: impl Fn(&[M]) -> bool) -> Vec<M> {
    let mut size = way.len().div_ceil(2);
    loop {
        let before = way.len();
        let mut at = 0;
        while at < way.len() {
            let end = way.len().min(at + size);
            let without = [&way[..at], &way[end..]].concat();
            if fails(&without) {
                way = without;
            } else {
                at = end;
            }
        }
        if size > 1 {
            size = size.div_ceil(2);
        } else if way.len() == before {
            return way;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_is_not_needed() {
        let way: Vec<_> = (0..100).collect();
        let needed = |way: &[i32]| way.contains(&17) && way.contains(&80);
        assert_eq!(shortest(way, needed), [17, 80]);
        assert!(shortest(vec![1], |_| true).is_empty());
        assert!(shortest(Vec::<i32>::new(), |_| true).is_empty());
    }
}
