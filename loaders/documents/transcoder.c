/*
 * Writes BSON documents as COPY binary rows: `rows`, all that `documents.encoding` needs of the usual
 * ones. It must write what `documents.exact` does, notes for `_types` included, to the byte but for
 * the order of keys (tests/python/loaders/test_transcoder.py): jsonb sorts them, and finds them sorted
 * here, which saves Postgres a tenth of its work. What it isn't made for it passes on, and the document
 * is read to the letter: values of other types, NUL or bad UTF-8 in text, a number that JSON can't
 * carry, a date beyond four-digit years, a key that stands twice or is called as one of our own
 * forms, more keys, notes or nesting than the limits below, a length that doesn't fit.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 32
#define MAX_KEYS 128 /* of one object */
#define MAX_NOTES 64 /* of one object or array */
#define CLOCK "updated_at"
#define FIELDS 5        /* _id, _source_ts, _doc_hash, _types, doc */
#define JSONB_VERSION 1 /* a byte before the JSON */
#define UNUSABLE_ID "long _id" /* what `encoding.identity_of` calls an _id that can't be a key */

typedef struct {
    char *start, *at, *end;
} Out;

typedef struct {
    Out json, types;
    int64_t clock;     /* milliseconds, if has_clock */
    char stamp[32];    /* the same as text, without quotes */
    int has_clock, has_id;
} Document;

/* All writers return 0, or -1 where the document is none for this module. */

static int room(Out *out, size_t size)
{
    if ((size_t)(out->end - out->at) >= size)
        return 0;
    size_t used = out->at - out->start, want = (used + size) * 2;
    char *moved = PyMem_Realloc(out->start, want);
    if (!moved)
        return -1;
    out->start = moved;
    out->at = moved + used;
    out->end = moved + want;
    return 0;
}

static int put(Out *out, const char *text, size_t size)
{
    if (room(out, size))
        return -1;
    memcpy(out->at, text, size);
    out->at += size;
    return 0;
}

static int32_t int32_at(const unsigned char *data)
{
    return (int32_t)((uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16
                     | (uint32_t)data[3] << 24);
}

static uint64_t uint64_at(const unsigned char *data)
{
    return (uint64_t)(uint32_t)int32_at(data) | (uint64_t)(uint32_t)int32_at(data + 4) << 32;
}

/* Bytes of one well-formed UTF-8 character beyond ASCII, or 0 (RFC 3629, table of syntax). */
static size_t utf8(const unsigned char *text, const unsigned char *end)
{
    unsigned char first = text[0];
    size_t size = first >= 0xC2 && first <= 0xDF ? 2 : (first & 0xF0) == 0xE0 ? 3
                  : first >= 0xF0 && first <= 0xF4 ? 4 : 0;
    if (!size || (size_t)(end - text) < size)
        return 0;
    unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (text[1] < low || text[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    return size;
}

/* A JSON string. */
static int put_text(Out *out, const unsigned char *text, size_t size)
{
    const unsigned char *end = text + size;
    if (room(out, size * 6 + 2)) /* \u00xx for each byte, at most */
        return -1;
    char *at = out->at;
    *at++ = '"';
    while (text < end) {
        unsigned char c = *text;
        if (c >= 0x80) {
            size_t length = utf8(text, end);
            if (!length)
                return -1;
            memcpy(at, text, length);
            at += length;
            text += length;
            continue;
        }
        if (c >= 0x20 && c != '"' && c != '\\') {
            *at++ = (char)c;
        } else if (c == 0) {
            return -1;
        } else {
            const char *hex = "0123456789abcdef";
            *at++ = '\\';
            if (c == '"' || c == '\\') {
                *at++ = (char)c;
            } else if (c >= 8 && c <= 13 && c != 11) {
                *at++ = "btn?fr"[c - 8];
            } else {
                memcpy(at, "u00", 3);
                at[3] = hex[c >> 4];
                at[4] = hex[c & 15];
                at += 5;
            }
        }
        text++;
    }
    *at++ = '"';
    out->at = at;
    return 0;
}

static int put_uint(Out *out, unsigned __int128 value, int width)
{
    char digits[40];
    int at = sizeof digits;
    do {
        digits[--at] = (char)('0' + (int)(value % 10));
        value /= 10;
        width--;
    } while (value);
    while (width-- > 0)
        digits[--at] = '0';
    return put(out, digits + at, sizeof digits - at);
}

static int put_int(Out *out, int64_t value)
{
    char digits[24];
    int at = sizeof digits;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0)
        digits[--at] = '-';
    return put(out, digits + at, sizeof digits - at);
}

/* Below 1e-4 Python writes 1.5e-05 and 1.5e-07, orjson 0.000015 and 1.5e-7. */
static int put_small(Out *out, const char *text, const char *e)
{
    int exponent = atoi(e + 1);
    if (exponent != -5) {
        char power[8];
        int length = snprintf(power, sizeof power, "e%d", exponent);
        return put(out, text, (size_t)(e - text)) || put(out, power, (size_t)length) ? -1 : 0;
    }
    if (*text == '-' && put(out, text++, 1))
        return -1;
    if (put(out, "0.0000", 6) || put(out, text, 1))
        return -1;
    return text[1] == '.' ? put(out, text + 2, (size_t)(e - text - 2)) : 0;
}

/* Prices, quantities and places have few decimals: whole / 10**n is the double to the bit then, and
 * with at most 15 digits no shorter text is. Others are written as Python writes them. */
static int put_double(Out *out, double value)
{
    static const double scales[] = {1, 100, 10000, 1000000};
    if (!(fabs(value) < 1e15) || (value == 0 && signbit(value)))
        return -1;
    for (int i = 0; i < 4; i++) {
        double whole = rint(value * scales[i]);
        if (fabs(whole) >= 1e15 || whole / scales[i] != value || (value != 0 && fabs(value) < 1e-5))
            continue;
        char digits[40];
        int at = sizeof digits, places = i ? 2 * i : 1;
        uint64_t rest = (uint64_t)fabs(whole) * (i ? 1 : 10);
        int is_tail = 1;
        for (int place = 0; place < places || rest; place++) {
            if (place == places)
                digits[--at] = '.';
            if (!(is_tail && place < places - 1 && rest % 10 == 0)) {
                digits[--at] = (char)('0' + rest % 10);
                is_tail = 0;
            }
            rest /= 10;
        }
        if (fabs(value) < 1) {
            digits[--at] = '.';
            digits[--at] = '0';
        }
        if (value < 0)
            digits[--at] = '-';
        return put(out, digits + at, sizeof digits - at);
    }
    char *text = PyOS_double_to_string(value, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
    if (!text)
        return -1;
    char *e = strchr(text, 'e');
    int result = e ? put_small(out, text, e) : put(out, text, strlen(text));
    PyMem_Free(text);
    return result;
}

/* As `decimals.to_text` for finite numbers with 0 to 34 decimal places. */
static int put_decimal(Out *out, const unsigned char *data)
{
    uint64_t low = uint64_at(data), high = uint64_at(data + 8);
    int exponent = (int)(high >> 49 & 0x3FFF) - 6176;
    unsigned __int128 coefficient = (unsigned __int128)(high & 0x1FFFFFFFFFFFFULL) << 64 | low;
    unsigned __int128 limit = (unsigned __int128)10000000000000000ULL * 1000000000000000000ULL;
    int is_negative = (int)(high >> 63);
    if ((high >> 61 & 3) == 3 || exponent > 0 || exponent < -34 || coefficient >= limit
        || (is_negative && !coefficient))
        return -1;
    if (is_negative && put(out, "-", 1))
        return -1;
    if (put_uint(out, coefficient, exponent ? 1 - exponent : 1))
        return -1;
    if (exponent) {
        if (room(out, 1))
            return -1;
        memmove(out->at + exponent + 1, out->at + exponent, (size_t)-exponent);
        out->at[exponent] = '.';
        out->at++;
    }
    return 0;
}

/* Days to a civil date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
static int date_text(char *text, int64_t milliseconds)
{
    if (milliseconds < -62135596800000LL || milliseconds > 253402300799999LL)
        return -1; /* before year 1, after 9999 */
    int64_t days = milliseconds / 86400000, rest = milliseconds % 86400000;
    if (rest < 0) {
        rest += 86400000;
        days--;
    }
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    unsigned day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
    unsigned year = (unsigned)((int64_t)yoe + era * 400 + (month <= 2));
    unsigned seconds = (unsigned)(rest / 1000), millis = (unsigned)(rest % 1000);
    unsigned parts[] = {year / 100, year % 100, month, day, seconds / 3600, seconds / 60 % 60,
                        seconds % 60};
    static const char after[] = {0, '-', '-', 'T', ':', ':', 0};
    int at = 0;
    for (int i = 0; i < 7; i++) {
        text[at++] = (char)('0' + parts[i] / 10);
        text[at++] = (char)('0' + parts[i] % 10);
        if (after[i])
            text[at++] = after[i];
    }
    if (millis) {
        text[at++] = '.';
        text[at++] = (char)('0' + millis / 100);
        text[at++] = (char)('0' + millis / 10 % 10);
        text[at++] = (char)('0' + millis % 10);
        memcpy(text + at, "000", 3);
        at += 3;
    }
    text[at++] = 'Z';
    return at;
}

/* Text that doc's text alone would show as an ObjectId or a date (`exact.LOOKALIKE`). */
static int is_lookalike(const unsigned char *text, size_t size)
{
    static const char date[] = "0000-00-00T00:00:00";
    if (size == 24) {
        for (size_t i = 0; i < size; i++)
            if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
                return 0;
        return 1;
    }
    if ((size != 20 && size != 27) || text[size - 1] != 'Z')
        return 0;
    for (size_t i = 0; i < sizeof date - 1; i++)
        if (date[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != date[i])
            return 0;
    return size == 20
           || (text[19] == '.' && text[20] >= '0' && text[20] <= '9' && text[21] >= '0'
               && text[21] <= '9' && text[22] >= '0' && text[22] <= '9'
               && !memcmp(text + 23, "000", 3));
}

static int put_container(Document *document, const unsigned char *data, size_t size, int is_array,
                         int depth);

/* The size of a value of which at most `left` bytes are there, or -1. */
static int64_t value_size(int kind, const unsigned char *data, size_t left)
{
    static const unsigned char fixed[] = {[0x01] = 8, [0x07] = 12, [0x08] = 1, [0x09] = 8,
                                          [0x10] = 4, [0x12] = 8,  [0x13] = 16};
    size_t size = kind < (int)sizeof fixed ? fixed[kind] : 0;
    if (kind == 0x02 || kind == 0x03 || kind == 0x04) {
        if (left < 4 || int32_at(data) < 1)
            return -1;
        size = (size_t)int32_at(data) + (kind == 0x02 ? 4 : 0);
    } else if (!size && kind != 0x0A) {
        return -1;
    }
    return size > left ? -1 : (int64_t)size;
}

/* One value of `size` bytes, and its note, if it has one. */
static int put_value(Document *document, int kind, const unsigned char *data, size_t size, int depth,
                     int is_clock)
{
    Out *out = &document->json, *types = &document->types;
    int failed = -1;
    switch (kind) {
    case 0x01: {
        uint64_t bits = uint64_at(data);
        double value;
        memcpy(&value, &bits, sizeof value);
        failed = put_double(out, value);
        break;
    }
    case 0x02:
        if (data[size - 1] || put_text(out, data + 4, size - 5))
            break;
        failed = is_lookalike(data + 4, size - 5) ? put(types, "\"string\"", 8) : 0;
        break;
    case 0x03:
    case 0x04:
        failed = put_container(document, data, size, kind == 0x04, depth + 1);
        break;
    case 0x07: {
        char hex[26];
        hex[0] = hex[25] = '"';
        for (int i = 0; i < 12; i++) {
            hex[1 + 2 * i] = "0123456789abcdef"[data[i] >> 4];
            hex[2 + 2 * i] = "0123456789abcdef"[data[i] & 15];
        }
        failed = put(out, hex, sizeof hex);
        break;
    }
    case 0x08:
        failed = data[0] > 1 ? -1 : data[0] ? put(out, "true", 4) : put(out, "false", 5);
        break;
    case 0x09: {
        char text[32];
        int64_t milliseconds = (int64_t)uint64_at(data);
        int length = date_text(text, milliseconds);
        if (length < 0 || put(out, "\"", 1) || put(out, text, (size_t)length) || put(out, "\"", 1))
            break;
        if (is_clock) {
            memcpy(document->stamp, text, (size_t)length);
            document->stamp[length] = 0;
            document->clock = milliseconds;
            document->has_clock = 1;
        }
        failed = 0;
        break;
    }
    case 0x0A:
        failed = put(out, "null", 4);
        break;
    case 0x10:
        failed = put_int(out, int32_at(data));
        break;
    case 0x12: {
        int64_t value = (int64_t)uint64_at(data);
        failed = put_int(out, value);
        if (!failed && value >= INT32_MIN && value <= INT32_MAX)
            failed = put(types, "\"long\"", 6);
        break;
    }
    case 0x13:
        failed = put_decimal(out, data) ? -1 : put(types, "\"decimal\"", 9);
        break;
    }
    return failed ? -1 : 0;
}

/* A member of an object, or an element of an array, that has a note. */
typedef struct {
    const unsigned char *key; /* for the order; NULL in an array */
    size_t key_size, index;
    size_t name_from, name_to; /* of the key's text in the JSON */
    size_t from, to;           /* of its tree in the types */
} Note;

static int by_key(const void *one, const void *other)
{
    const Note *a = one, *b = other;
    if (!a->key) {
        char names[2][24];
        snprintf(names[0], sizeof names[0], "%zu", a->index);
        snprintf(names[1], sizeof names[1], "%zu", b->index);
        return strcmp(names[0], names[1]);
    }
    int order = memcmp(a->key, b->key, a->key_size < b->key_size ? a->key_size : b->key_size);
    return order ? order : a->key_size < b->key_size ? -1 : a->key_size > b->key_size;
}

/* The tree of an object or array, instead of those of its members that follow `from`. */
static int put_tree(Document *document, size_t from, Note *notes, size_t count, int is_common)
{
    Out *types = &document->types;
    Out made = {0};
    int failed = 0;
    if (is_common) {
        const char *tree = types->start + notes[0].from;
        failed = put(&made, "[", 1) || put(&made, tree, notes[0].to - notes[0].from)
                 || put(&made, "]", 1);
    } else {
        qsort(notes, count, sizeof *notes, by_key);
        for (size_t i = 0; i < count && !failed; i++) {
            const Note *note = &notes[i];
            const char *name = document->json.start + note->name_from;
            size_t size = note->name_to - note->name_from;
            char index[24];
            if (!note->key) {
                size = (size_t)snprintf(index, sizeof index, "\"#%zu\"", note->index);
                name = index;
            }
            failed = put(&made, i ? "," : "{", 1) || put(&made, name, size) || put(&made, ":", 1)
                     || put(&made, types->start + note->from, note->to - note->from);
        }
        failed = failed || put(&made, "}", 1);
    }
    types->at = types->start + from;
    failed = failed || put(types, made.start, (size_t)(made.at - made.start));
    PyMem_Free(made.start);
    return failed ? -1 : 0;
}

/* Keys of our own forms begin so, but a DBRef is an object like others. */
static int is_of_a_form(const unsigned char *key, size_t size)
{
    if (!size || *key != '$')
        return 0;
    return !(size == 4 && !memcmp(key, "$ref", 4)) && !(size == 3 && !memcmp(key, "$id", 3))
           && !(size == 3 && !memcmp(key, "$db", 3));
}

/* A member of an object, an element of an array. */
typedef struct {
    const unsigned char *key, *value;
    size_t key_size, value_size;
    int kind;
} Element;

/* The next element; returns where the one after it begins, or NULL. */
static const unsigned char *read_element(Element *element, const unsigned char *data,
                                         const unsigned char *end)
{
    element->kind = *data++;
    const unsigned char *stop = memchr(data, 0, (size_t)(end - data));
    if (!stop)
        return NULL;
    element->key = data;
    element->key_size = (size_t)(stop - data);
    element->value = stop + 1;
    int64_t size = value_size(element->kind, element->value, (size_t)(end - element->value));
    if (size < 0)
        return NULL;
    element->value_size = (size_t)size;
    return element->value + size;
}

/* jsonb's order of keys: the shorter one first. */
static int key_order(const Element *one, const Element *other)
{
    if (one->key_size != other->key_size)
        return one->key_size < other->key_size ? -1 : 1;
    return memcmp(one->key, other->key, one->key_size);
}

/* The members of an object in jsonb's order; how many, or -1. */
static int read_members(Element *members, const unsigned char *data, const unsigned char *end)
{
    int count = 0;
    while (data < end) {
        Element element;
        int at = count;
        if (count++ == MAX_KEYS || !(data = read_element(&element, data, end))
            || is_of_a_form(element.key, element.key_size))
            return -1;
        for (; at > 0; at--) {
            int order = key_order(&members[at - 1], &element);
            if (!order)
                return -1;
            if (order < 0)
                break;
            members[at] = members[at - 1];
        }
        members[at] = element;
    }
    return data == end ? count : -1;
}

static int put_container(Document *document, const unsigned char *data, size_t size, int is_array,
                         int depth)
{
    Element members[MAX_KEYS], element;
    Note notes[MAX_NOTES];
    Out *out = &document->json, *types = &document->types;
    const unsigned char *end = data + size - 1;
    size_t count = 0, noted = 0, kept = 0, from = (size_t)(types->at - types->start);
    int is_common = is_array, member_count = 0;
    if (size < 5 || (size_t)int32_at(data) != size || *end || depth > MAX_DEPTH)
        return -1;
    data += 4;
    if (!is_array && (member_count = read_members(members, data, end)) < 0)
        return -1;
    if (put(out, is_array ? "[" : "{", 1))
        return -1;
    for (; is_array ? data < end : count < (size_t)member_count; count++) {
        if (!is_array)
            element = members[count];
        else if (!(data = read_element(&element, data, end)))
            return -1;
        if (count && put(out, ",", 1))
            return -1;
        Note note = {.index = count, .name_from = (size_t)(out->at - out->start)};
        int is_clock = 0;
        if (!is_array) {
            if (put_text(out, element.key, element.key_size))
                return -1;
            note.key = element.key;
            note.key_size = element.key_size;
            note.name_to = (size_t)(out->at - out->start);
            if (put(out, ":", 1))
                return -1;
            document->has_id |= !depth && element.key_size == 3 && !memcmp(element.key, "_id", 3);
            is_clock = !depth && element.key_size == sizeof CLOCK - 1
                       && !memcmp(element.key, CLOCK, sizeof CLOCK - 1);
        }
        note.from = (size_t)(types->at - types->start);
        if (put_value(document, element.kind, element.value, element.value_size, depth, is_clock))
            return -1;
        note.to = (size_t)(types->at - types->start);
        if (note.to == note.from)
            continue;
        is_common = is_common && noted == count
                    && (!noted
                        || (note.to - note.from == notes[0].to - notes[0].from
                            && !memcmp(types->start + note.from, types->start + notes[0].from,
                                       note.to - note.from)));
        noted++;
        if (kept < MAX_NOTES)
            notes[kept++] = note;
        else
            types->at = types->start + note.from; /* as long as all are alike, the first will do */
    }
    if ((is_array && data != end) || put(out, is_array ? "]" : "}", 1))
        return -1;
    if (!noted)
        return 0;
    is_common = is_common && noted == count;
    return kept < noted && !is_common ? -1 : put_tree(document, from, notes, kept, is_common);
}

/* What is read of one day: documents, and the upper and lower 30 bits of their hashes, added up. */
typedef struct {
    char name[11];
    uint64_t documents, high, low;
} Day;

static PyObject *days_found(const Day *days, size_t count)
{
    PyObject *found = PyDict_New();
    for (size_t i = 0; found && i < count; i++) {
        PyObject *high = PyLong_FromUnsignedLongLong(days[i].high), *bits = PyLong_FromLong(30);
        PyObject *low = PyLong_FromUnsignedLongLong(days[i].low);
        PyObject *moved = high && bits ? PyNumber_Lshift(high, bits) : NULL;
        PyObject *sum = moved && low ? PyNumber_Add(moved, low) : NULL;
        PyObject *entry = sum ? Py_BuildValue("(KN)", days[i].documents, sum) : NULL;
        if (!entry || PyDict_SetItemString(found, days[i].name, entry))
            Py_CLEAR(found);
        Py_XDECREF(high);
        Py_XDECREF(bits);
        Py_XDECREF(low);
        Py_XDECREF(moved);
        Py_XDECREF(entry);
    }
    return found;
}

static int put_big_endian(Out *out, uint64_t value, int bytes)
{
    if (room(out, 8))
        return -1;
    while (bytes-- > 0)
        *out->at++ = (char)(value >> 8 * bytes);
    return 0;
}

/* A field that is null where it is empty. */
static int put_field(Out *out, const char *text, size_t size)
{
    if (!size)
        return put_big_endian(out, UINT32_MAX, 4);
    return put_big_endian(out, size, 4) || put(out, text, size) ? -1 : 0;
}

static int put_stamp(Out *out, const Document *document)
{
    if (!document->has_clock)
        return put_field(out, "", 0);
    int64_t since_2000 = (document->clock - 946684800000LL) * 1000; /* microseconds */
    return put_big_endian(out, 8, 4) || put_big_endian(out, (uint64_t)since_2000, 8) ? -1 : 0;
}

/* The row of one document; 1 if it was written, 0 if it is passed on, -1 for an error. */
static int put_row(Out *out, Document *document, PyObject *original, PyObject *identity,
                   const char *digest, Py_ssize_t digest_size)
{
    Py_ssize_t name_size;
    const char *name = PyUnicode_AsUTF8AndSize(identity, &name_size);
    if (!name)
        return -1;
    document->json.at = document->json.start;
    document->types.at = document->types.start;
    document->has_clock = document->has_id = 0;
    if (put_container(document, (unsigned char *)PyBytes_AS_STRING(original),
                      (size_t)PyBytes_GET_SIZE(original), 0, 0)
        || !document->has_id || !strncmp(name, UNUSABLE_ID, sizeof UNUSABLE_ID - 1))
        return PyErr_Occurred() ? -1 : 0;
    const Out *json = &document->json, *types = &document->types;
    size_t size = (size_t)(json->at - json->start);
    if (put_big_endian(out, FIELDS, 2) || put_field(out, name, (size_t)name_size)
        || put_stamp(out, document) || put_field(out, digest, (size_t)digest_size)
        || put_field(out, types->start, (size_t)(types->at - types->start))
        || put_big_endian(out, size + 1, 4) || put_big_endian(out, JSONB_VERSION, 1)
        || put(out, json->start, size)) {
        PyErr_NoMemory();
        return -1;
    }
    return 1;
}

static Day *day_of(Day *days, size_t *count, const char *name)
{
    for (size_t i = *count; i-- > 0;)
        if (!strcmp(days[i].name, name))
            return &days[i];
    Day *day = &days[(*count)++];
    memset(day, 0, sizeof *day);
    memcpy(day->name, name, strlen(name));
    return day;
}

PyDoc_STRVAR(rows_doc,
"rows(documents, identities, digests, start) -> (rows, end, days, newest)\n\n"
"COPY binary rows of the documents from `start` to before `end`, the first it isn't made for\n"
"or the end of the list; for each day of updated_at its documents and the sum of the first 60 bits\n"
"of their digests; the latest updated_at in milliseconds and which document has it, or None.");

static PyObject *rows(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *documents, *identities, *digests, *result = NULL, *found = NULL;
    Py_ssize_t start;
    if (!PyArg_ParseTuple(args, "O!O!O!n", &PyList_Type, &documents, &PyList_Type, &identities,
                          &PyList_Type, &digests, &start))
        return NULL;
    Py_ssize_t count = PyList_GET_SIZE(documents), at = start, newest = -1;
    if (start < 0 || PyList_GET_SIZE(identities) != count || PyList_GET_SIZE(digests) != count) {
        PyErr_SetString(PyExc_ValueError, "as many documents as identities and digests");
        return NULL;
    }
    Out out = {0};
    Document document = {0};
    size_t day_count = 0;
    int64_t latest = 0;
    Day *days = PyMem_Calloc((size_t)count + 1, sizeof *days);
    /* so that none of them is NULL */
    if (!days || room(&out, 1024) || room(&document.json, 1024) || room(&document.types, 64)) {
        PyErr_NoMemory();
        goto done;
    }
    for (; at < count; at++) {
        PyObject *original = PyList_GET_ITEM(documents, at);
        Py_ssize_t digest_size;
        const char *digest = PyUnicode_AsUTF8AndSize(PyList_GET_ITEM(digests, at), &digest_size);
        if (!digest)
            goto done;
        if (!PyBytes_Check(original) || digest_size < 15) {
            PyErr_SetString(PyExc_TypeError, "documents are bytes, digests hexadecimal");
            goto done;
        }
        int made = put_row(&out, &document, original, PyList_GET_ITEM(identities, at), digest,
                           digest_size);
        if (made < 0)
            goto done;
        if (!made)
            break;
        char name[11] = "";
        if (document.has_clock) {
            memcpy(name, document.stamp, 10);
            if (newest < 0 || document.clock > latest) {
                latest = document.clock;
                newest = at;
            }
        }
        char bits[16] = "";
        memcpy(bits, digest, 15);
        uint64_t hash = strtoull(bits, NULL, 16);
        Day *day = day_of(days, &day_count, name);
        day->documents++;
        day->high += hash >> 30;
        day->low += hash & 0x3FFFFFFF;
    }
    found = days_found(days, day_count);
    if (found && newest < 0)
        result = Py_BuildValue("(y#nNO)", out.start, (Py_ssize_t)(out.at - out.start), at, found,
                               Py_None);
    else if (found)
        result = Py_BuildValue("(y#nN(Ln))", out.start, (Py_ssize_t)(out.at - out.start), at,
                               found, (long long)latest, newest);
done:
    PyMem_Free(days);
    PyMem_Free(out.start);
    PyMem_Free(document.json.start);
    PyMem_Free(document.types.start);
    return result;
}

static PyMethodDef methods[] = {
    {"rows", rows, METH_VARARGS, rows_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_ledgerline_transcoder", "BSON documents as COPY binary rows.", 0,
    methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__ledgerline_transcoder(void)
{
    return PyModule_Create(&module);
}
