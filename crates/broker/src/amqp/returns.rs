//! What became of published messages, told from confirms that carry other messages' returns.
//!
//! The client hangs a returned message on whichever confirm completes next, so an ack alone says
//! nothing: a message is confirmed if it was acked and no return names it. The broker sends a return
//! before the ack of its message, and acks unroutable messages in order; hence the return is carried
//! by that ack or an earlier one, and has been seen once all that one ack frame resolved is in.

use std::collections::HashMap;

use clerkwork_faults::{Defect, has};

use crate::Published;

/// The answer of the broker to one message.
pub(super) enum Answer {
    /// It took responsibility for it, unless a return names it.
    Ack,
    /// It refused it.
    Nack,
    /// The channel is gone.
    Lost,
}

/// The messages that were returned and whose own answer is still to come.
#[derive(Debug, Default)]
pub(super) struct Returns(HashMap<String, usize>);

impl Returns {
    /// Notes a returned message by the id that it was published with.
    pub(super) fn note(&mut self, id: String) {
        *self.0.entry(id).or_default() += 1;
    }

    /// The fate of a message, once every return up to its answer has been noted.
    pub(super) fn judge(&mut self, id: &str, answer: &Answer) -> Published {
        match answer {
            Answer::Lost => Published::Unknown,
            Answer::Ack if has(Defect::ReturnedIsSuccess) => Published::Confirmed,
            Answer::Ack | Answer::Nack if self.take(id) => Published::Unroutable,
            Answer::Ack => Published::Confirmed,
            Answer::Nack => Published::Refused,
        }
    }

    /// Two messages may bear one id; each return stands for one of them.
    fn take(&mut self, id: &str) -> bool {
        let Some(count) = self.0.get_mut(id) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.0.remove(id);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_returned_message_is_unroutable_and_not_the_one_that_carried_it() {
        let mut returns = Returns::default();
        returns.note("lost".to_owned());
        assert_eq!(returns.judge("carrier", &Answer::Ack), Published::Confirmed);
        assert_eq!(returns.judge("lost", &Answer::Ack), Published::Unroutable);
        assert_eq!(returns.judge("refused", &Answer::Nack), Published::Refused);
        assert_eq!(returns.judge("gone", &Answer::Lost), Published::Unknown);
    }

    #[test]
    fn two_returned_messages_of_one_id_are_both_unroutable_and_a_third_is_not() {
        let mut returns = Returns::default();
        returns.note("twin".to_owned());
        returns.note("twin".to_owned());
        let fates: Vec<Published> = (0..3)
            .map(|_| returns.judge("twin", &Answer::Ack))
            .collect();
        assert_eq!(
            fates,
            [
                Published::Unroutable,
                Published::Unroutable,
                Published::Confirmed
            ]
        );
    }
}
