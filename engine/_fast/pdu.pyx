"""submit_sm batches and the stream of what comes back, in C. The twin in `pure` says what each means."""

from cpython cimport array
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING
from libc.limits cimport INT_MAX
from libc.stdint cimport uint64_t
from libc.stdlib cimport free
from libc.string cimport memchr, memcpy, memset

from engine._fast.arrays cimport ends_fit, int16s, int32s, int64s, made, resized, uint32s
from engine._fast.octets cimport get32, put32, put_decimal
from engine._fast.repertoire cimport (
    PAYLOAD,
    SAR,
    FormView,
    Repertoire,
    Writing,
    done,
    header_octets,
    pack_septets,
    piece_end,
    put_header,
)
from engine._fast.text cimport GSM, Columns, Message, Template, compose_text, count_parts, fail, part_end

from array import array as new_array

from engine._fast.columns import (
    REJECT_CHARACTERS,
    REJECT_EMPTY,
    REJECT_NUMBER,
    REJECT_TOO_LONG,
    EncodedBatch,
    ParsedBatch,
)

cdef array.array INT32 = new_array("i")
cdef array.array UINT32 = new_array("I")

MAX_SEQUENCE = 0x7FFFFFFF
MAX_PDU = 65536

cdef enum:
    HEADER = 16
    LAST_SEQUENCE = 0x7FFFFFFF
    LONGEST = 65536

    SUBMIT_SM = 0x00000004
    DELIVER_SM = 0x00000005
    DATA_SM = 0x00000103

    TOO_LONG = 1
    EMPTY = 2
    NUMBER = 3
    CHARACTERS = 4

    AROUND = 96  # octets of a PDU beside head, flags, message and TLVs: header, number, header of a part, SAR

assert (TOO_LONG, EMPTY, NUMBER, CHARACTERS) == (
    REJECT_TOO_LONG, REJECT_EMPTY, REJECT_NUMBER, REJECT_CHARACTERS
)

cdef unsigned int SUBMIT_SM_RESP = 0x80000004u


cdef inline unsigned int _after(unsigned int sequence) noexcept nogil:
    return 1 if sequence == LAST_SEQUENCE else sequence + 1


cdef inline unsigned int _reference(long long slice_id, int row) noexcept nogil:
    cdef uint64_t mixed = <uint64_t>slice_id * <uint64_t>0x9E3779B97F4A7C15u + <uint64_t>row
    mixed = (mixed ^ mixed >> 30) * <uint64_t>0xBF58476D1CE4E5B9u
    mixed = (mixed ^ mixed >> 27) * <uint64_t>0x94D049BB133111EBu
    return (mixed ^ mixed >> 31) & 0xFFFF


def next_sequence(long long sequence):
    return 1 if sequence == LAST_SEQUENCE else sequence + 1


def part_reference(long long slice_id, int row):
    return _reference(slice_id, row)


cdef int _check_sequence(long long sequence) except -1:
    if not 1 <= sequence <= LAST_SEQUENCE:
        raise ValueError("a sequence_number is from 1 to 0x7FFFFFFF")
    return 0


cdef class _Writer:
    """An EncodedBatch being written: growing memory, and the pointers into it."""

    cdef object batch
    cdef bytearray pdus
    cdef array.array ends, rows, part_numbers, part_counts, numbers, sequences, rejects, codes
    cdef array.array billed  # None: one part each
    cdef unsigned char* out
    cdef Py_ssize_t used, room  # octets
    cdef Py_ssize_t count, slots  # PDUs
    cdef Py_ssize_t rejected

    def __cinit__(self):
        batch = self.batch = EncodedBatch()
        self.pdus = batch.pdus
        self.ends, self.rows, self.sequences = batch.end, batch.row, batch.sequence
        self.part_numbers, self.part_counts, self.numbers = batch.part, batch.parts, batch.msisdn
        self.rejects, self.codes = batch.rejected, batch.reject_code

    cdef int size(self, Py_ssize_t octets, Py_ssize_t slots) except -1:
        PyByteArray_Resize(self.pdus, octets)
        self.out = <unsigned char*>PyByteArray_AS_STRING(self.pdus)
        self.room = octets
        resized(self.ends, slots)
        resized(self.rows, slots)
        resized(self.part_numbers, slots)
        resized(self.part_counts, slots)
        resized(self.numbers, slots)
        resized(self.sequences, slots)
        if self.billed is not None:
            resized(self.billed, slots)
        self.slots = slots
        return 0

    cdef int grow(self, Py_ssize_t octets, Py_ssize_t slots) except -1 with gil:
        if self.used + octets > INT_MAX:
            raise OverflowError("a batch of more than 2 GiB")
        self.size(
            max(self.room, (self.used + octets) * 3 // 2), max(self.slots, (self.count + slots) * 3 // 2)
        )
        return 0

    cdef inline int hold(self, Py_ssize_t octets, Py_ssize_t slots) except -1 nogil:
        if self.used + octets > self.room or self.count + slots > self.slots:
            self.grow(octets, slots)
        return 0

    cdef inline void note(
        self, int row, Py_ssize_t part, Py_ssize_t parts, long long number, unsigned int sequence
    ) noexcept nogil:
        """Closes the PDU whose octets were just written."""
        self.ends.data.as_ints[self.count] = <int>self.used
        self.rows.data.as_ints[self.count] = row
        self.part_numbers.data.as_shorts[self.count] = <short>part
        self.part_counts.data.as_shorts[self.count] = <short>parts
        self.numbers.data.as_longlongs[self.count] = number
        self.sequences.data.as_uints[self.count] = sequence
        self.count += 1

    cdef int bill(self) except -1:
        """From now on the batch says how many parts each PDU is charged for."""
        self.billed = self.batch.billed = array.array("h")
        return 0

    cdef inline void reject(self, int row, signed char code) noexcept nogil:
        self.rejects.data.as_ints[self.rejected] = row
        self.codes.data.as_schars[self.rejected] = code
        self.rejected += 1

    cdef object finish(self):
        self.size(self.used, self.count)
        resized(self.rejects, self.rejected)
        resized(self.codes, self.rejected)
        self.batch.count = self.count
        return self.batch


cdef class SubmitEncoder:
    cdef readonly Template template
    cdef readonly int max_parts
    cdef readonly Repertoire repertoire
    cdef bytes _head, _flags, _tlvs  # what stands before and after the destination, and after the message
    cdef const unsigned char* _head_octets
    cdef const unsigned char* _flags_octets
    cdef const unsigned char* _tlvs_octets
    cdef Py_ssize_t _head_length, _flags_length, _tlvs_length
    cdef unsigned char _gsm_data_coding, _ucs2_data_coding

    def __init__(
        self,
        *,
        Template template not None,
        bytes source not None,
        unsigned char source_ton,
        unsigned char source_npi,
        unsigned char dest_ton=1,
        unsigned char dest_npi=1,
        bytes service_type not None=b"",
        unsigned char protocol_id=0,
        unsigned char priority=0,
        unsigned char registered_delivery=1,
        bytes validity_period not None=b"",
        int max_parts=10,
        unsigned char gsm_data_coding=0,
        unsigned char ucs2_data_coding=8,
        Repertoire repertoire=None,
        bytes tlvs not None=b"",
    ):
        for name, text, most in (
            ("source", source, 20),
            ("service_type", service_type, 32),
            ("validity_period", validity_period, 16),
        ):
            if len(text) > most or 0 in text:
                raise ValueError(f"{name} has at most {most} octets and no NUL")
        if not 1 <= max_parts <= 255:
            raise ValueError("max_parts is from 1 to 255")
        if len(tlvs) > 1024:
            raise ValueError("tlvs has at most 1024 octets")
        self.template = template
        self.max_parts = max_parts
        self._head = service_type + b"\0" + bytes((source_ton, source_npi)) + source + b"\0"
        self._head += bytes((dest_ton, dest_npi))
        self._flags = bytes((protocol_id, priority)) + b"\0" + validity_period + b"\0"
        self._flags += bytes((registered_delivery, 0))
        self._tlvs = tlvs
        self.repertoire = repertoire
        self._gsm_data_coding = gsm_data_coding
        self._ucs2_data_coding = ucs2_data_coding
        self._head_octets = <const unsigned char*>PyBytes_AS_STRING(self._head)
        self._flags_octets = <const unsigned char*>PyBytes_AS_STRING(self._flags)
        self._tlvs_octets = <const unsigned char*>PyBytes_AS_STRING(self._tlvs)
        self._head_length, self._flags_length = len(self._head), len(self._flags)
        self._tlvs_length = len(self._tlvs)

    @property
    def validity_period(self):
        return self._flags[3 : len(self._flags) - 3]

    @validity_period.setter
    def validity_period(self, bytes validity_period not None):
        if len(validity_period) > 16 or 0 in validity_period:
            raise ValueError("validity_period has at most 16 octets and no NUL")
        self._flags = self._flags[:3] + validity_period + self._flags[len(self._flags) - 3 :]
        self._flags_octets = <const unsigned char*>PyBytes_AS_STRING(self._flags)
        self._flags_length = len(self._flags)

    def encode(
        self,
        msisdn,
        columns,
        array.array rows not None,
        int row_base,
        long long slice_id,
        long long first_sequence,
        array.array row_ids=None,
    ):
        _check_sequence(first_sequence)
        cdef Columns held = self.template.bind(columns)
        cdef Py_ssize_t n = len(rows)
        cdef const int* row = int32s(rows, n)
        cdef const int* ids = int32s(row_ids, n) if row_ids is not None else NULL
        cdef _Writer writer = _Writer()
        cdef Message message = Message(NULL, 0, 0, GSM)
        cdef Writing writing
        cdef Py_buffer numbers
        cdef Py_ssize_t position = 0
        cdef int code = 0
        memset(&writing, 0, sizeof(writing))
        if self.repertoire is not None and self.repertoire.splitting == PAYLOAD:
            writer.bill()
        if row_base + n > INT_MAX:
            raise OverflowError("rows beyond int32")
        resized(writer.rejects, n)
        resized(writer.codes, n)
        writer.size(n * (self._head_length + self._flags_length + self._tlvs_length + 160), n)
        PyObject_GetBuffer(msisdn, &numbers, PyBUF_SIMPLE)
        try:
            with nogil:
                code = self._encode_rows(
                    writer, held, row, n, &position, <const long long*>numbers.buf,
                    numbers.len // <Py_ssize_t>sizeof(long long), row_base, ids, slice_id,
                    <unsigned int>first_sequence, &message, &writing,
                )
        finally:
            free(message.octets)
            done(&writing)
            PyBuffer_Release(&numbers)
        if code < 0:
            fail(code, row[position])
        return writer.finish()

    cdef int _encode_rows(
        self,
        _Writer writer,
        Columns held,
        const int* rows,
        Py_ssize_t n,
        Py_ssize_t* position,
        const long long* numbers,
        Py_ssize_t numbers_length,
        int row_base,
        const int* ids,
        long long slice_id,
        unsigned int sequence,
        Message* message,
        Writing* writing,
    ) except 1 nogil:
        """0, or a code for `fail` with the position it is about."""
        cdef Py_ssize_t i
        cdef Py_ssize_t parts
        cdef int code
        cdef bint default = self.repertoire is None
        for i in range(n):
            position[0] = i
            if rows[i] < 0 or rows[i] >= numbers_length:
                return -1
            if default:
                code = self.template.compose(held.views, rows[i], message)
                if code < 0:
                    return code
                parts = count_parts(message.encoding, message.octets, message.length)
            else:
                code = self._compose(held, rows[i], message, writing)
                if code < 0:
                    return code
                parts = writing.parts
            if numbers[rows[i]] <= 0:
                writer.reject(row_base + <int>i, NUMBER)
            elif parts < 0:
                writer.reject(row_base + <int>i, CHARACTERS)
            elif parts > self.max_parts:
                writer.reject(row_base + <int>i, TOO_LONG)
            elif parts == 0:
                writer.reject(row_base + <int>i, EMPTY)
            elif not default:
                sequence = self._write_form(
                    writer, row_base + <int>i, numbers[rows[i]],
                    _reference(slice_id, ids[i] if ids != NULL else row_base + <int>i), sequence, writing,
                )
            else:
                sequence = self._write(
                    writer, row_base + <int>i, numbers[rows[i]],
                    _reference(slice_id, ids[i] if ids != NULL else row_base + <int>i),
                    sequence, message, parts,
                )
        return 0

    cdef unsigned int _write(
        self,
        _Writer writer,
        int row,
        long long number,
        unsigned int reference,
        unsigned int sequence,
        const Message* message,
        Py_ssize_t parts,
    ) except 0 nogil:
        """Writes the parts of one message; returns the sequence_number after them."""
        cdef Py_ssize_t start = 0
        cdef Py_ssize_t stop
        cdef Py_ssize_t part
        cdef unsigned char* pdu
        cdef unsigned char* out
        writer.hold(
            parts * (AROUND + self._head_length + self._flags_length + self._tlvs_length) + message.length, parts
        )
        for part in range(1, parts + 1):
            stop = message.length
            if parts > 1:
                stop = part_end(message.encoding, message.octets, message.length, start)
            pdu = writer.out + writer.used
            memcpy(pdu + HEADER, self._head_octets, self._head_length)
            out = pdu + HEADER + self._head_length
            out += put_decimal(out, <uint64_t>number)
            out[0] = 0
            out[1] = 0x40 if parts > 1 else 0  # esm_class: UDHI
            memcpy(out + 2, self._flags_octets, self._flags_length)
            out += 2 + self._flags_length
            out[0] = self._gsm_data_coding if message.encoding == GSM else self._ucs2_data_coding
            out[1] = 0  # sm_default_msg_id
            out[2] = <unsigned char>(stop - start + (6 if parts > 1 else 0))
            out += 3
            if parts > 1:
                out[0] = 5
                out[1] = 0
                out[2] = 3
                out[3] = reference & 0xFF
                out[4] = <unsigned char>parts
                out[5] = <unsigned char>part
                out += 6
            memcpy(out, message.octets + start, stop - start)
            out += stop - start
            self._close(writer, pdu, out, sequence)
            writer.note(row, part, parts, number, sequence)
            sequence = _after(sequence)
            start = stop
        return sequence

    cdef inline void _close(
        self, _Writer writer, unsigned char* pdu, unsigned char* out, unsigned int sequence
    ) noexcept nogil:
        """Appends the TLVs that every PDU has, and fills in the header."""
        memcpy(out, self._tlvs_octets, self._tlvs_length)
        out += self._tlvs_length
        put32(pdu, <unsigned int>(out - pdu))
        put32(pdu + 4, SUBMIT_SM)
        put32(pdu + 8, 0)
        put32(pdu + 12, sequence)
        writer.used += out - pdu

    # any other form ------------------------------------------------------------------------------------------

    cdef inline int _compose(
        self, Columns held, Py_ssize_t row, Message* message, Writing* writing
    ) noexcept nogil:
        """Writes the row's text in the cheapest of the repertoire's forms; 0, or a code for `fail`."""
        cdef int code = compose_text(self.template, held.views, row, message)
        return code if code < 0 else self.repertoire.compose(message.octets, message.length, writing)

    cdef unsigned int _write_form(
        self,
        _Writer writer,
        int row,
        long long number,
        unsigned int reference,
        unsigned int sequence,
        const Writing* writing,
    ) except 0 nogil:
        """Writes the parts of one message; returns the sequence_number after them."""
        cdef const FormView* form = &self.repertoire.views[writing.form]
        cdef int splitting = self.repertoire.splitting
        cdef bint payload = splitting == PAYLOAD and writing.parts > 1
        cdef Py_ssize_t parts = 1 if payload else writing.parts
        cdef Py_ssize_t start = 0
        cdef Py_ssize_t stop, part
        cdef unsigned char* pdu
        cdef unsigned char* out
        writer.hold(
            parts * (AROUND + self._head_length + self._flags_length + self._tlvs_length) + writing.length, parts
        )
        for part in range(1, parts + 1):
            stop = writing.length
            if parts > 1:
                stop = piece_end(form, writing.octets, writing.length, start, splitting)
            pdu = writer.out + writer.used
            memcpy(pdu + HEADER, self._head_octets, self._head_length)
            out = pdu + HEADER + self._head_length
            out += put_decimal(out, <uint64_t>number)
            out[0] = 0
            out[1] = 0x40 if header_octets(form, splitting, parts) else 0  # esm_class: UDHI
            memcpy(out + 2, self._flags_octets, self._flags_length)
            out += 2 + self._flags_length
            out[0] = form.data_coding
            out[1] = 0  # sm_default_msg_id
            out[2] = 0  # sm_length
            out += 3
            if payload:
                out = _put_payload(form, writing, out)
            else:
                out = _put_message(form, splitting, reference, parts, part, writing.octets + start, stop - start, out)
            if parts > 1 and splitting == SAR:
                out = _put_sar(reference, parts, part, out)
            self._close(writer, pdu, out, sequence)
            if writer.billed is not None:
                writer.billed.data.as_shorts[writer.count] = <short>writing.parts if payload else 1
            writer.note(row, part, parts, number, sequence)
            sequence = _after(sequence)
            start = stop
        return sequence


cdef inline unsigned char* _put_message(
    const FormView* form, int splitting, unsigned int reference, Py_ssize_t parts, Py_ssize_t part,
    const unsigned char* octets, Py_ssize_t length, unsigned char* out,
) noexcept nogil:
    """Writes short_message and, in the octet before it, sm_length; returns where they end."""
    cdef Py_ssize_t head = put_header(form, splitting, reference, parts, part, out)
    if form.packed:
        length = pack_septets(octets, length, head, out + head)
    else:
        memcpy(out + head, octets, length)
    (out - 1)[0] = <unsigned char>(head + length)
    return out + head + length


cdef inline unsigned char* _put_payload(
    const FormView* form, const Writing* writing, unsigned char* out
) noexcept nogil:
    """Writes message_payload (SMPP 3.4 §5.3.2.32) with the whole text."""
    cdef Py_ssize_t length = writing.length
    if form.packed:
        length = pack_septets(writing.octets, writing.length, 0, out + 4)
    else:
        memcpy(out + 4, writing.octets, length)
    out[0] = 0x04
    out[1] = 0x24
    out[2] = <unsigned char>(length >> 8)
    out[3] = length & 0xFF
    return out + 4 + length


cdef inline unsigned char* _put_sar(
    unsigned int reference, Py_ssize_t parts, Py_ssize_t part, unsigned char* out
) noexcept nogil:
    """Writes sar_msg_ref_num, sar_total_segments and sar_segment_seqnum (SMPP 3.4 §5.3.2.22 to 24)."""
    put32(out, 0x020C0002)
    out[4] = reference >> 8 & 0xFF
    out[5] = reference & 0xFF
    put32(out + 6, 0x020E0001)
    out[10] = <unsigned char>parts
    put32(out + 11, 0x020F0001)
    out[15] = <unsigned char>part
    return out + 16


def take(batch, array.array indices not None, long long first_sequence):
    _check_sequence(first_sequence)
    cdef Py_ssize_t count = batch.count
    cdef bytearray pdus = batch.pdus
    cdef const int* end = int32s(batch.end, count)
    cdef const int* row = int32s(batch.row, count)
    cdef const short* part = int16s(batch.part, count)
    cdef const short* parts = int16s(batch.parts, count)
    cdef const long long* number = int64s(batch.msisdn, count)
    cdef Py_ssize_t n = len(indices)
    cdef const int* index = int32s(indices, n)
    cdef _Writer writer = _Writer()
    cdef const short* billed = NULL
    cdef unsigned int sequence = <unsigned int>first_sequence
    cdef Py_ssize_t i, start, length
    if batch.billed is not None:
        billed = int16s(batch.billed, count)
        writer.bill()
    ends_fit(end, count, len(pdus))
    writer.size(n * 200, n)
    for i in range(n):
        if not 0 <= index[i] < count:
            raise IndexError(f"PDU {index[i]} is outside the batch")
        start = end[index[i] - 1] if index[i] else 0
        length = end[index[i]] - start
        if length < HEADER:
            raise ValueError("a PDU is shorter than its header")
        writer.hold(length, 1)
        memcpy(writer.out + writer.used, PyByteArray_AS_STRING(pdus) + start, length)
        put32(writer.out + writer.used + 12, sequence)
        writer.used += length
        if billed != NULL:
            writer.billed.data.as_shorts[writer.count] = billed[index[i]]
        writer.note(row[index[i]], part[index[i]], parts[index[i]], number[index[i]], sequence)
        sequence = _after(sequence)
    return writer.finish()


cdef class StreamParser:
    cdef bytes _tail
    cdef str _fatal
    cdef unsigned int _fatal_sequence

    def __cinit__(self):
        self._tail = b""

    def feed(self, bytes data not None):
        if self._fatal is not None:
            return ParsedBatch(fatal=self._fatal, fatal_sequence=self._fatal_sequence)
        if self._tail:
            data = self._tail + data
        cdef const unsigned char* octets = <const unsigned char*>PyBytes_AS_STRING(data)
        cdef Py_ssize_t length = len(data)
        cdef Py_ssize_t[4] found  # submit_sm_resp, deliveries, others; octets in the bodies of the first
        cdef Py_ssize_t stop = _survey(octets, length, found)
        cdef unsigned int bad
        cdef object batch = _sort(octets, stop, found)
        self._tail = b""
        if length - stop >= HEADER:
            bad = get32(octets + stop)
            if bad < HEADER or bad > LONGEST:
                limit = "below 16" if bad < HEADER else "above 65536"
                self._fatal = batch.fatal = f"command_length {bad} is {limit}"
                self._fatal_sequence = batch.fatal_sequence = get32(octets + stop + 12)
        if self._fatal is None and stop < length:
            self._tail = data[stop:]
        batch.data = data if stop == length else data[:stop]
        return batch


cdef Py_ssize_t _survey(const unsigned char* octets, Py_ssize_t length, Py_ssize_t* found) noexcept nogil:
    """Counts the complete PDUs by kind; returns where they end."""
    cdef Py_ssize_t start = 0
    cdef unsigned int pdu
    cdef unsigned int command
    found[0] = found[1] = found[2] = found[3] = 0
    while length - start >= HEADER:
        pdu = get32(octets + start)
        if pdu < HEADER or pdu > LONGEST or length - start < pdu:
            break
        command = get32(octets + start + 4)
        if command == SUBMIT_SM_RESP:
            found[0] += 1
            found[3] += pdu - HEADER
        elif command == DELIVER_SM or command == DATA_SM:
            found[1] += 1
        else:
            found[2] += 1
        start += pdu
    return start


cdef object _sort(const unsigned char* octets, Py_ssize_t stop, const Py_ssize_t* found):
    """A ParsedBatch of the surveyed PDUs, without its data."""
    cdef array.array sequences = made(UINT32, found[0])
    cdef array.array statuses = made(UINT32, found[0])
    cdef array.array id_ends = made(INT32, found[0])
    cdef array.array deliver_starts = made(INT32, found[1])
    cdef array.array deliver_ends = made(INT32, found[1])
    cdef array.array other_starts = made(INT32, found[2])
    cdef array.array other_ends = made(INT32, found[2])
    cdef bytearray ids = PyByteArray_FromStringAndSize(NULL, found[3])
    cdef char* id_octets
    cdef Py_ssize_t used = 0
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t resp = 0
    cdef Py_ssize_t deliver = 0
    cdef Py_ssize_t other = 0
    cdef unsigned int pdu
    cdef unsigned int command
    if stop > INT_MAX:
        raise OverflowError("a receive buffer of more than 2 GiB")
    id_octets = PyByteArray_AS_STRING(ids)
    with nogil:
        while start < stop:
            pdu = get32(octets + start)
            command = get32(octets + start + 4)
            if command == SUBMIT_SM_RESP:
                sequences.data.as_uints[resp] = get32(octets + start + 12)
                statuses.data.as_uints[resp] = get32(octets + start + 8)
                used += _copy_string(id_octets + used, octets + start + HEADER, pdu - HEADER)
                id_ends.data.as_ints[resp] = <int>used
                resp += 1
            elif command == DELIVER_SM or command == DATA_SM:
                deliver_starts.data.as_ints[deliver] = <int>start
                deliver_ends.data.as_ints[deliver] = <int>(start + pdu)
                deliver += 1
            else:
                other_starts.data.as_ints[other] = <int>start
                other_ends.data.as_ints[other] = <int>(start + pdu)
                other += 1
            start += pdu
    if used < found[3]:
        PyByteArray_Resize(ids, used)
    return ParsedBatch(
        b"", sequences, statuses, ids, id_ends, deliver_starts, deliver_ends, other_starts, other_ends
    )


cdef inline Py_ssize_t _copy_string(char* out, const unsigned char* octets, Py_ssize_t length) noexcept nogil:
    """Copies a C-octet string, or all of one that is not terminated; returns its length."""
    cdef const void* nul
    if length == 0:
        return 0
    nul = memchr(octets, 0, length)
    if nul != NULL:
        length = <const unsigned char*>nul - octets
    memcpy(out, octets, length)
    return length


def deliver_responses(array.array sequence not None, array.array command not None, unsigned int status=0):
    cdef Py_ssize_t n = len(sequence)
    if len(command) != n:
        raise ValueError("sequence and command differ in length")
    cdef const unsigned int* sequences = uint32s(sequence, n)
    cdef const unsigned int* commands = uint32s(command, n)
    cdef bytearray responses = bytearray(17 * n)
    cdef unsigned char* out = responses
    cdef Py_ssize_t i
    for i in range(n):
        put32(out, 17)
        put32(out + 4, commands[i] | 0x80000000u)
        put32(out + 8, status)
        put32(out + 12, sequences[i])
        out += 17
    return responses
