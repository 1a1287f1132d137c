//! The names: which queues and exchanges there are, and where a message goes.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::queue::{Line, Shape};
use crate::{Declared, Depth, Envelope, Error, Message, Published, Queue, private_name};

/// All queues and exchanges.
#[derive(Debug, Default)]
pub(super) struct Hub {
    names: RwLock<Names>,
    closed: CancellationToken,
}

#[derive(Debug, Default)]
struct Names {
    queues: HashMap<String, Arc<Line>>,
    exchanges: HashMap<String, Exchange>,
}

#[derive(Debug)]
enum Exchange {
    /// By routing key.
    Direct(HashMap<String, Arc<Line>>),
    /// To all.
    Fanout(Vec<Arc<Line>>),
}

impl Hub {
    pub(super) fn declare(&self, queue: &Queue) -> Result<Declared, Error> {
        let mut names = self.write()?;
        let shape = Shape::of(queue);
        let known = names.queues.get(&queue.name).cloned();
        if known.as_ref().is_some_and(|line| line.shape != shape) {
            return Err(mismatch(&queue.name, "it is for something else"));
        }
        if let Some(exchange) = &queue.exchange {
            names.direct(exchange)?;
        }
        let line = known.unwrap_or_else(|| Arc::new(Line::new(queue.name.clone(), shape)));
        if let Some(exchange) = &queue.exchange {
            names
                .direct(exchange)?
                .insert(queue.name.clone(), Arc::clone(&line));
        }
        let depth = line.depth();
        names.queues.insert(queue.name.clone(), line);
        Ok(Declared { depth })
    }

    /// Removes a queue on which nothing waits; whether it is gone.
    pub(super) fn delete(&self, queue: &str) -> Result<bool, Error> {
        let mut names = self.write()?;
        let waits = |line: &Arc<Line>| line.depth().ready > 0;
        if names.queues.get(queue).is_some_and(waits) {
            return Ok(false);
        }
        names.queues.remove(queue);
        for exchange in names.exchanges.values_mut() {
            if let Exchange::Direct(lines) = exchange {
                lines.remove(queue);
            }
        }
        Ok(true)
    }

    pub(super) fn look(&self, queue: &str) -> Result<Option<Depth>, Error> {
        Ok(self.read()?.queues.get(queue).map(|line| line.depth()))
    }

    pub(super) fn find(&self, queue: &str) -> Result<Arc<Line>, Error> {
        let names = self.read()?;
        names
            .queues
            .get(queue)
            .cloned()
            .ok_or_else(|| Error::Missing(queue.to_owned()))
    }

    pub(super) fn declare_fanout(&self, exchange: &str) -> Result<(), Error> {
        let mut names = self.write()?;
        let made = names
            .exchanges
            .entry(exchange.to_owned())
            .or_insert_with(|| Exchange::Fanout(Vec::new()));
        match made {
            Exchange::Fanout(_) => Ok(()),
            Exchange::Direct(_) => Err(mismatch(exchange, "it is a direct exchange")),
        }
    }

    /// Makes a queue of one consumer, bound to a fanout exchange.
    pub(super) fn private(
        &self,
        prefix: &str,
        exchange: &str,
        declare_exchange: bool,
    ) -> Result<Arc<Line>, Error> {
        let mut names = self.write()?;
        if declare_exchange && !names.exchanges.contains_key(exchange) {
            names
                .exchanges
                .insert(exchange.to_owned(), Exchange::Fanout(Vec::new()));
        }
        let line = Arc::new(Line::new(private_name(prefix), Shape::Private));
        match names.exchanges.get_mut(exchange) {
            Some(Exchange::Fanout(lines)) => lines.push(Arc::clone(&line)),
            Some(Exchange::Direct(_)) => return Err(mismatch(exchange, "it is a direct exchange")),
            None => return Err(Error::Missing(exchange.to_owned())),
        }
        names.queues.insert(line.name.clone(), Arc::clone(&line));
        Ok(line)
    }

    /// Removes a private queue; any other stays without its consumer.
    pub(super) fn forget(&self, line: &Line) {
        if line.shape != Shape::Private {
            return;
        }
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        names.queues.remove(&line.name);
        for exchange in names.exchanges.values_mut() {
            if let Exchange::Fanout(lines) = exchange {
                lines.retain(|bound| bound.name != line.name);
            }
        }
    }

    /// Routes a batch; messages that follow each other to one place go there under one lock.
    pub(super) fn publish(&self, messages: Vec<Message>) -> Vec<Published> {
        let Ok(names) = self.read() else {
            return vec![Published::NotSent; messages.len()];
        };
        let mut answers = Vec::with_capacity(messages.len());
        let mut messages = messages.into_iter().peekable();
        while let Some(first) = messages.next() {
            let Message {
                exchange,
                key,
                envelope,
                ..
            } = match first {
                large if !large.fits() => {
                    answers.push(Published::TooLarge);
                    continue;
                }
                message => message,
            };
            let mut run = vec![envelope];
            while let Some(next) =
                messages.next_if(|next| next.exchange == exchange && next.key == key && next.fits())
            {
                run.push(next.envelope);
            }
            let count = run.len();
            let answer = names.route(&exchange, &key, run);
            answers.extend(std::iter::repeat_n(answer, count));
        }
        answers
    }

    pub(super) fn closed(&self) -> WaitForCancellationFuture<'_> {
        self.closed.cancelled()
    }

    pub(super) fn close(&self) {
        self.closed.cancel();
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        for line in names.queues.values() {
            line.close();
        }
    }

    fn read(&self) -> Result<RwLockReadGuard<'_, Names>, Error> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        if self.closed.is_cancelled() {
            Err(Error::Closed)
        } else {
            Ok(names)
        }
    }

    fn write(&self) -> Result<RwLockWriteGuard<'_, Names>, Error> {
        let names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if self.closed.is_cancelled() {
            Err(Error::Closed)
        } else {
            Ok(names)
        }
    }
}

impl Names {
    /// The bindings of a direct exchange, which is made if there is none.
    fn direct(&mut self, name: &str) -> Result<&mut HashMap<String, Arc<Line>>, Error> {
        let exchange = self
            .exchanges
            .entry(name.to_owned())
            .or_insert_with(|| Exchange::Direct(HashMap::new()));
        match exchange {
            Exchange::Direct(bindings) => Ok(bindings),
            Exchange::Fanout(_) => Err(mismatch(name, "it is a fanout exchange")),
        }
    }

    fn route(&self, exchange: &str, key: &str, run: Vec<Envelope>) -> Published {
        let line = if exchange.is_empty() {
            self.queues.get(key)
        } else {
            match self.exchanges.get(exchange) {
                Some(Exchange::Direct(bindings)) => bindings.get(key),
                Some(Exchange::Fanout(lines)) => return fan_out(lines, run),
                None => None,
            }
        };
        match line {
            Some(line) => {
                line.push(run.into_iter());
                Published::Confirmed
            }
            None => Published::Unroutable,
        }
    }
}

fn fan_out(lines: &[Arc<Line>], run: Vec<Envelope>) -> Published {
    let Some((last, others)) = lines.split_last() else {
        return Published::Unroutable;
    };
    for line in others {
        line.push(run.iter().cloned());
    }
    last.push(run.into_iter());
    Published::Confirmed
}

fn mismatch(name: &str, detail: &str) -> Error {
    Error::Mismatch {
        queue: name.to_owned(),
        detail: detail.to_owned(),
    }
}
