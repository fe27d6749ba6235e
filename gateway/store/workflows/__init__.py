"""What is kept of workflows: one function per query, over `workflow_tables`.

    definitions                  what is to run, in versions that never change
    executions ◄─ schedules      what was asked for, also by the clock
    attempts, steps              what an attempt writes; fenced, so that only one counts
    stopping, deciding           what comes to an execution from outside, whether or not an attempt runs
    events, artifacts, analytics what can be read of it
    executors, forgetting        who runs it, and when it is forgotten
    memory                       all that the engine needs of these, in one object
    locked, translating          what they share: the lock on an execution, and rows as Structs

Law: whoever changes an execution holds its row until the transaction ends, by the very statement that counts its events
up. So the numbers of the events have no gaps, sums and progress are exact, and of two who want the same one wins.
"""
