//! The broker's errors in our words.

use lapin::ErrorKind;

use crate::Error;

/// What an error of a channel means for what was asked about `subject`.
pub(super) fn fault(error: &lapin::Error, subject: &str) -> Error {
    let ErrorKind::ProtocolError(answer) = error.kind() else {
        return Error::Lost(words(error));
    };
    match answer.get_id() {
        404 => Error::Missing(subject.to_owned()),
        403 | 405 | 530 => Error::Forbidden(words(error)),
        // In these words where, and only where, it is there as something else.
        406 if words(error).contains("inequivalent arg") => Error::Mismatch {
            queue: subject.to_owned(),
            detail: words(error),
        },
        _ => Error::Lost(words(error)),
    }
}

/// Reads an error of a channel as an answer to the declaration of `subject`.
pub(super) fn declare_fault(error: &lapin::Error, subject: &str) -> Error {
    let precondition =
        matches!(error.kind(), ErrorKind::ProtocolError(answer) if answer.get_id() == 406);
    match fault(error, subject) {
        // A limit on the number of queues is told like this.
        Error::Lost(detail) if precondition => Error::Refused {
            queue: subject.to_owned(),
            detail,
        },
        other => other,
    }
}

/// Whether it is of no use to try again soon: the login or the virtual host is wrong.
pub(super) fn refused(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(answer) if matches!(answer.get_id(), 403 | 530))
}

/// An error in words, as the broker or the system put it.
pub(super) fn words(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(answer) if answer.get_id() == 541 => {
            format!(
                "{}: RabbitMQ failed in itself, and its own log says at what",
                answer.get_message()
            )
        }
        ErrorKind::ProtocolError(answer) => answer.get_message().to_string(),
        ErrorKind::IOError(error) | ErrorKind::RuntimeShutdownError(error) => error.to_string(),
        ErrorKind::MissingHeartbeatError => "the broker has been silent for 20 s".to_owned(),
        _ => error.to_string(),
    }
}
