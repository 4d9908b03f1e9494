"""Results of test messages taken out of a batch, so that no campaign's book meets them. Rare, so plain."""

from dataclasses import fields

from engine._fast.columns import ResultBatch


def split(batch: ResultBatch, claim: int) -> tuple[ResultBatch, ResultBatch]:
    """(results of that claim handle, the others), each in its order."""
    mine, others = ResultBatch(), ResultBatch()
    columns = [each.name for each in fields(ResultBatch) if each.name not in ("count", "ids", "id_end")]
    for position in range(batch.count):
        to = mine if batch.claim[position] == claim else others
        for name in columns:
            getattr(to, name).append(getattr(batch, name)[position])
        to.ids += batch.ids[batch.id_end[position - 1] if position else 0 : batch.id_end[position]]
        to.id_end.append(len(to.ids))
        to.count += 1
    return mine, others
