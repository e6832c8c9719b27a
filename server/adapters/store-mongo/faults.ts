/** What an error of the driver means for the unit that met it. */
import {
  MongoError,
  MongoNetworkError,
  MongoNotConnectedError,
  MongoOperationTimeoutError,
  MongoServerError,
  MongoServerSelectionError,
  MongoTopologyClosedError,
  MongoWriteConcernError,
} from 'mongodb';
import { StoreUnavailable } from '../../ports/store.ts';

const labelled = (error: unknown, label: string): boolean => error instanceof MongoError && error.hasErrorLabel(label);

/** Two units inserted one key at the same moment. Inside a transaction that is a conflict like any other. */
const DUPLICATE_KEY = 11_000;

export const isDuplicate = (error: unknown): boolean =>
  error instanceof MongoServerError && error.code === DUPLICATE_KEY;

/** Whether the whole unit may be tried again: nothing of it is there. A commit whose fate is not known is never that. */
export const isTransient = (error: unknown): boolean =>
  !isCommitUnknown(error) && (labelled(error, 'TransientTransactionError') || isDuplicate(error));

/** Whether the commit, and nothing but the commit, may be tried again: what was written may be there already. */
export const isCommitUnknown = (error: unknown): boolean => labelled(error, 'UnknownTransactionCommitResult');

/**
 * Whether a connection broke. Within a transaction that has not begun to commit, nothing of it is there; of a commit it says nothing. The driver
 * labels such an error for a transaction only when it is the first that its pool of connections meets.
 */
export const isLost = (error: unknown): boolean => error instanceof MongoNetworkError;

/** Whether the server may not have heard how a transaction ended. */
export const isUnheard = (error: unknown): boolean =>
  error instanceof MongoNetworkError || error instanceof MongoServerSelectionError || isCommitUnknown(error);

/** Errors of the driver's pool, whose classes it does not export. */
const POOL = new Set(['MongoWaitQueueTimeoutError', 'MongoPoolClearedError', 'MongoPoolClosedError']);

/** Server answers that speak of the server's state and not of the question (error_codes.yml): not primary, shutting down, out of time, overloaded. */
const STATE = new Set([6, 7, 50, 89, 91, 112, 189, 202, 251, 262, 290, 462, 9001, 10107, 11600, 11602, 13435, 13436]);

/** An error that says the database cannot serve now, as what callers know; any other error as it is. */
export function asUnavailable(error: unknown): unknown {
  const isState =
    error instanceof MongoNetworkError ||
    error instanceof MongoServerSelectionError ||
    error instanceof MongoOperationTimeoutError ||
    error instanceof MongoNotConnectedError ||
    error instanceof MongoTopologyClosedError ||
    error instanceof MongoWriteConcernError ||
    (error instanceof MongoError && POOL.has(error.name)) ||
    isTransient(error) ||
    isCommitUnknown(error) ||
    labelled(error, 'SystemOverloadedError') ||
    labelled(error, 'RetryableWriteError') ||
    (error instanceof MongoServerError && typeof error.code === 'number' && STATE.has(error.code));
  return isState ? new StoreUnavailable('the database does not answer in time', { cause: error }) : error;
}
