"""The bodies of the textbook functions of the code task, as templates."""

TESTED = """
def count_$kind($many):
    count = 0
    for $one in $many:
        if $test:
            count += 1
    return count

def keep_$kind($many):
    result = []
    for $one in $many:
        if $test:
            result.append($one)
    return result

def drop_$kind($many):
    result = []
    for $one in $many:
        if $test:
            continue
        result.append($one)
    return result

def select_$kind($many):
    return [$one for $one in $many if $test]

def has_$kind($many):
    for $one in $many:
        if $test:
            return True
    return False

def all_$kind($many):
    return all($test for $one in $many)

def any_$kind($many):
    return any($test for $one in $many)

def first_$kind($many):
    for $one in $many:
        if $test:
            return $one
    return None

def index_of_first_$kind($many):
    for index, $one in enumerate($many):
        if $test:
            return index
    return -1

def split_by_$kind($many):
    chosen, others = [], []
    for $one in $many:
        if $test:
            chosen.append($one)
        else:
            others.append($one)
    return chosen, others

def is_$kind($one):
    return $test

def require_$kind($one):
    if not ($test):
        raise ValueError("$one must be $said")
    return $one
""".strip().split("\n\n")

CHANGED = """
def ${verb}_$one($one):
    return $change

def ${verb}_each($many):
    result = []
    for $one in $many:
        result.append($change)
    return result

def ${verb}_all($many):
    return [$change for $one in $many]

def ${verb}_in_place($many):
    for index, $one in enumerate($many):
        $many[index] = $change

def iterate_$verb($many):
    for $one in $many:
        yield $change
""".strip().split("\n\n")

OF_NUMBERS = """
def sum_of_$kind($many):
    total = 0
    for $one in $many:
        if $test:
            total += $one
    return total

def ${best}_$one($many):
    $best = $many[0]
    for $one in $many:
        if $one $sign $best:
            $best = $one
    return $best

def average_$one($many):
    if not $many:
        raise ValueError("no $many")
    return sum($many) / len($many)

def total_of_$many($many):
    total = 0
    for $one in $many:
        total += $one
    return total

def product_of_$many($many):
    product = 1
    for $one in $many:
        product *= $one
    return product

def running_total_of_$many($many):
    total, result = 0, []
    for $one in $many:
        total += $one
        result.append(total)
    return result

def clamp_$one($one, $low, $high):
    if $one < $low:
        return $low
    if $one > $high:
        return $high
    return $one

def larger_$one($a, $b):
    if $a > $b:
        return $a
    return $b

def smaller_$one($a, $b):
    if $a < $b:
        return $a
    return $b

def set_$one(self, $one):
    if $one < 0:
        raise ValueError("$one must not be negative")
    self.$one = $one
""".strip().split("\n\n")

OF_TEXTS = """
def ${best}_$one($many):
    $best = $many[0]
    for $one in $many:
        if len($one) $sign len($best):
            $best = $one
    return $best

def group_${many}_by_$trait($many):
    groups = {}
    for $one in $many:
        groups.setdefault($value, []).append($one)
    return groups

def join_${many}_with_$mark_name($many):
    return "$mark".join($many)
""".strip().split("\n\n")

OF_ANYTHING = """
def frequency_of_$many($many):
    counts = {}
    for $one in $many:
        counts[$one] = counts.get($one, 0) + 1
    return counts

def unique_$many($many):
    seen = set()
    result = []
    for $one in $many:
        if $one not in seen:
            seen.add($one)
            result.append($one)
    return result

def find_$one($many, $key, default):
    if $key in $many:
        return $many[$key]
    return default

def get_$one($many, $key):
    if $key not in $many:
        raise KeyError($key)
    return $many[$key]

def sort_${many}_ascending($many):
    return sorted($many)

def sort_${many}_descending($many):
    return sorted($many, reverse=True)

def add_$one(self, $one):
    self.$many.append($one)
    return len(self.$many)

def remove_$one(self, $one):
    if $one in self.$many:
        self.$many.remove($one)

def pop_$one(self):
    if not self.$many:
        return None
    return self.$many.pop()

def contains_$one(self, $one):
    return $one in self.$many

def clear_$many(self):
    self.$many = []
""".strip().split("\n\n")

OF_PAIRS = """
def ${verb}_${a}_and_$b($a, $b):
    result = []
    for $one, $other in zip($a, $b):
        result.append($one $sign $other)
    return result

def ${verb}_all_${a}_and_$b($a, $b):
    return [$one $sign $other for $one, $other in zip($a, $b)]
""".strip().split("\n\n")

MEASURES = """
def $name($parameters):
    return $formula

def checked_$name($parameters):
    if $last <= 0:
        raise ValueError("$last must be positive")
    return $formula
""".strip().split("\n\n")

CONVERSIONS = """
def ${small}_to_$big($small):
    return $small / $factor

def ${big}_to_$small($big):
    return $big * $factor
""".strip().split("\n\n")

ARITHMETIC = """
def $name($limit):
    result = []
    current = $start
    while current < $limit:
        result.append(current)
        current $step
    return result

def factorial($n):
    result = 1
    for i in range(2, $n + 1):
        result *= i
    return result

def fibonacci($n):
    a, b = 0, 1
    for i in range($n):
        a, b = b, a + b
    return a

def is_prime($n):
    if $n < 2:
        return False
    for i in range(2, $n):
        if $n % i == 0:
            return False
    return True

def sum_of_digits($n):
    total = 0
    while $n > 0:
        total += $n % 10
        $n //= 10
    return total

def divisors($n):
    return [i for i in range(1, $n + 1) if $n % i == 0]
""".strip().split("\n\n")

OF_TEXT = """
def count_vowels($text):
    count = 0
    for letter in $text:
        if letter in "aeiou":
            count += 1
    return count

def remove_vowels($text):
    result = ""
    for letter in $text:
        if letter not in "aeiou":
            result += letter
    return result

def is_palindrome($text):
    $text = $text.lower()
    return $text == $text[::-1]

def count_words($text):
    return len($text.split())

def reverse_words($text):
    words = $text.split()
    words.reverse()
    return " ".join(words)

def initials($text):
    words = $text.split()
    return "".join(word[0].upper() for word in words)

def shorten($text, limit):
    if len($text) <= limit:
        return $text
    return $text[:limit] + "..."
""".strip().split("\n\n")

METHODS = """
def __init__(self, $fields):
    $stores

def show_$both(self):
    return f"$shown"

def ${verb}_$one(self, $by):
    self.$one $sign= $by
    return self.$one
""".strip().split("\n\n")
