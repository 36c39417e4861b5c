package normalize_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/polyvault/polyvault/normalize"
)

// publishedNumbers are test numbers that card schemes and processors publish.
func publishedNumbers() map[string]normalize.Brand {
	return map[string]normalize.Brand{
		"4111111111111111": normalize.Visa, "4012888888881881": normalize.Visa, "4222222222222": normalize.Visa,
		"4242424242424242": normalize.Visa, "4000056655665556": normalize.Visa, "4917610000000000": normalize.Visa,
		"5555555555554444": normalize.Mastercard, "5105105105105100": normalize.Mastercard, "2223003122003222": normalize.Mastercard,
		"5200828282828210": normalize.Mastercard, "378282246310005": normalize.Amex, "371449635398431": normalize.Amex,
		"6011111111111117": normalize.Discover, "6011000990139424": normalize.Discover, "30569309025904": normalize.Diners,
		"38520000023237": normalize.Diners, "36227206271667": normalize.Diners, "3530111333300000": normalize.JCB,
		"3566002020360505": normalize.JCB, "6200000000000005": normalize.UnionPay, "6759649826438453": normalize.Maestro,
		"5019717010103742": normalize.Dankort, "6062826786276634": normalize.Hipercard, "5066991111111118": normalize.Elo,
	}
}

func TestPublishedNumbersAreKnown(t *testing.T) {
	t.Parallel()
	for number, brand := range publishedNumbers() {
		require.True(t, normalize.Luhn(number), number)
		require.True(t, normalize.IsCardNumber(number), number)
		require.Equal(t, brand, normalize.BrandOf(number), number)
		require.Equal(t, number[:6], normalize.BINOf(number))
		require.Equal(t, number[len(number)-4:], normalize.Last4Of(number))
	}
}

func TestBrandOf(t *testing.T) {
	t.Parallel()
	for digits, want := range map[string]normalize.Brand{
		"":       normalize.BrandOther,
		"0":      normalize.BrandOther,
		"4":      normalize.Visa,
		"34":     normalize.Amex,
		"35":     normalize.BrandOther, // below 3528
		"3527":   normalize.BrandOther,
		"3528":   normalize.JCB,
		"3589":   normalize.JCB,
		"3590":   normalize.BrandOther,
		"2220":   normalize.BrandOther,
		"2221":   normalize.Mastercard,
		"2720":   normalize.Mastercard,
		"2721":   normalize.BrandOther,
		"510000": normalize.Mastercard,
		"559999": normalize.Mastercard,
		"560000": normalize.Maestro,
		"622126": normalize.UnionPay,
		"644000": normalize.Discover,
		"650031": normalize.Elo, // narrow ranges before wide ones
		"650052": normalize.Discover,
		"652100": normalize.RuPay,
		"508100": normalize.RuPay,
		"457100": normalize.Dankort,
		"440647": normalize.Mada,
		"606282": normalize.Hipercard,
		"300000": normalize.Diners,
		"306000": normalize.BrandOther,
		"900000": normalize.BrandOther,
		"abcdef": normalize.BrandOther,
	} {
		require.Equal(t, want, normalize.BrandOf(digits), digits)
	}
	for _, b := range normalize.Brands() {
		require.Regexp(t, `^[a-z_]+$`, string(b))
	}
}

func TestLuhn(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"": false, "0": true, "18": true, "19": false, "79927398713": true, "79927398710": false,
		"4111 1111 1111 1111": false, "411111111111111a": false, "４１１１": false, "-18": false,
	} {
		require.Equal(t, want, normalize.Luhn(s), "%q", s)
	}
}

// A single wrong digit is what the check digit is there to find.
func TestLuhnFindsEverySingleWrongDigit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		number := validNumber(t)
		i := rapid.IntRange(0, len(number)-1).Draw(t, "position")
		shift := rapid.IntRange(1, 9).Draw(t, "shift")
		wrong := []byte(number)
		wrong[i] = '0' + (wrong[i]-'0'+byte(shift))%10
		if !normalize.Luhn(number) || normalize.Luhn(string(wrong)) {
			t.Fatalf("a wrong digit at %d passes", i)
		}
	})
}

// validNumber draws 13 to 19 digits with a valid check digit.
func validNumber(t *rapid.T) string {
	head := rapid.StringMatching(`4[0-9]{11,17}`).Draw(t, "head")
	for d := range 10 {
		if s := fmt.Sprintf("%s%d", head, d); normalize.Luhn(s) {
			return s
		}
	}
	t.Fatalf("no check digit for %s", head)
	return ""
}

func TestIsCardNumber(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"4111111111111111": true, "4111111111111112": false, "": false, "41111111111": false,
		"4111-1111-1111-1111": false, strings.Repeat("0", 12): true, strings.Repeat("0", 11): false,
		strings.Repeat("0", 19): true, strings.Repeat("0", 20): false,
	} {
		require.Equal(t, want, normalize.IsCardNumber(s), s)
	}
}

func TestShortNumbersShowNothing(t *testing.T) {
	t.Parallel()
	require.Empty(t, normalize.BINOf("41111111111"))
	require.Equal(t, "411111", normalize.BINOf("411111111111"))
	require.Empty(t, normalize.Last4Of("123"))
	require.Equal(t, "1234", normalize.Last4Of("1234"))
}

func TestContainsCardNumber(t *testing.T) {
	t.Parallel()
	for number := range publishedNumbers() {
		for how, text := range spellings(number) {
			require.True(t, normalize.ContainsCardNumber(text), "%s: %s", how, text)
		}
	}
}

func spellings(number string) map[string]string {
	var wide strings.Builder
	for _, r := range number {
		wide.WriteRune('０' + r - '0')
	}
	grouped := func(sep string) string {
		var groups []string
		rest := number
		for len(rest) > 4 {
			groups, rest = append(groups, rest[:4]), rest[4:]
		}
		return strings.Join(append(groups, rest), sep)
	}
	return map[string]string{
		"plain": number, "spaced": grouped(" "), "dashed": grouped("-"), "dotted": grouped("."), "underscored": grouped("_"),
		"two spaces": grouped("  "), "no-break spaces": grouped("\u00a0"), "full-width": wide.String(), "in text": "my card is " + number + ", thanks",
		"in words": "x" + number + "y", "in an address": "a@b.com?pan=" + number, "in lines": "a\n" + number + "\nb",
		"after a date": "2026-01-02 " + number, "each digit spaced": strings.Join(strings.Split(number, ""), " "),
		"three by three": strings.Join([]string{number[:6], number[6:]}, "-"), "in JSON": `{"n":"` + number + `"}`,
	}
}

func TestContainsNoCardNumber(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "4", "José O'Brien-Smith", "王小明", "1 Main Street", "Apartment 42, 78701-1234",
		"+1 (512) 555-0100", "+49 30 901820", "020 7946 0958", "+15125550100", "555-0100 x1234",
		"2026-01-02T15:04:05Z", "1767366245", "1767366245123", "2026-01-02 15:04:05.123456789",
		"4111111111111112",                     // wrong check digit
		"41111111111111111111",                 // 20 digits
		"94111111111111111111119",              // within a longer run
		"order-000000000000000",                // no scheme begins with 0
		"9999999999999995",                     // nor with 9999
		"123e4567-e89b-12d3-a456-426614174000", // a UUID
		"550e8400-e29b-41d4-a716-446655440000", "f47ac10b-58cc-4372-a567-0e02b2c3d479",
		"411111XXXXXX1111", "411111******1111", "**** **** **** 1111", "ending in 1111",
		"ins_01HZX8Y4N2M6QK3T7V9W0B5C1D", "4111 1111 / 1111 1111", "4111,1111,1111,1111",
	} {
		require.False(t, normalize.ContainsCardNumber(s), "%q", s)
	}
}

func TestExpired(t *testing.T) {
	t.Parallel()
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, s)
		require.NoError(t, err)
		return v
	}
	for name, c := range map[string]struct {
		month, year int
		now         string
		want        bool
	}{
		"good on the month's last day":              {2, 2028, "2028-02-29T23:59:59.999999999Z", false},
		"good where the month still lasts":          {2, 2028, "2028-03-01T11:59:59.999999999Z", false},
		"over once the month is over everywhere":    {2, 2028, "2028-03-01T12:00:00Z", true},
		"over in another zone's words":              {2, 2028, "2028-03-02T02:00:00+14:00", true},
		"good before it began":                      {2, 2028, "2020-01-01T00:00:00Z", false},
		"December goes over into the next year":     {12, 2027, "2027-12-31T23:00:00Z", false},
		"December is over in January":               {12, 2027, "2028-01-01T12:00:00Z", true},
		"February of a common year":                 {2, 2027, "2027-03-01T12:00:00Z", true},
		"an unknown month never expires":            {0, 2020, "2027-03-01T12:00:00Z", false},
		"an unknown year never expires":             {1, 0, "2027-03-01T12:00:00Z", false},
		"a month that does not exist never expires": {13, 2020, "2027-03-01T12:00:00Z", false},
		"a negative month never expires":            {-1, 2020, "2027-03-01T12:00:00Z", false},
	} {
		require.Equal(t, c.want, normalize.Expired(c.month, c.year, at(c.now)), name)
	}
	require.Equal(t, []int{0, 2001, 2099, 100, 2026}, []int{
		normalize.FullYear(0), normalize.FullYear(1), normalize.FullYear(99), normalize.FullYear(100), normalize.FullYear(2026),
	})
}

func TestParseMask(t *testing.T) {
	t.Parallel()
	for mask, want := range map[string][2]string{
		"411111XXXXXX1111":    {"411111", "1111"},
		"41111111XXXX1111":    {"41111111", "1111"},
		"411111xxxxxx1111":    {"411111", "1111"},
		"411111******1111":    {"411111", "1111"},
		"••••1111":            {"", "1111"},
		"XXXX":                {"", ""},
		"12XXX56":             {"12", "56"},
		"4111X1":              {"4111", "1"},
		"":                    {"", ""},
		"4111111111111111":    {"", ""}, // a number is not a mask
		"411111-XXXXXX-1111":  {"", ""},
		"4111 11XX XXXX 1111": {"", ""},
		"X1X1":                {"", ""},
		"\xff1":               {"", ""},
	} {
		lead, trail := normalize.ParseMask(mask)
		require.Equal(t, want, [2]string{lead, trail}, "%q", mask)
	}
}

func TestValidRoutingNumber(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"021000021": true, "011401533": true, "091000019": true, "122105155": true,
		"021000022": false, "": false, "000000000": false, "02100002": false, "0210000210": false, "02100002a": false, "０21000021": false,
	} {
		require.Equal(t, want, normalize.ValidRoutingNumber(s), s)
	}
}

func TestValidIBAN(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{ // the examples of the IBAN registry
		"GB82WEST12345698765432": true, "DE89370400440532013000": true, "FR1420041010050500013M02606": true,
		"NO9386011117947": true, "MT84MALT011000012345MTLCAST001S": true, "ES9121000418450200051332": true, "BE68539007547034": true,
		"GB82WEST12345698765433": false, "gb82WEST12345698765432": false, "GB82 WEST 1234 5698 7654 32": false, "": false,
		"NO938601111794": false, "8282WEST12345698765432": false, "GBXXWEST12345698765432": false,
		strings.Repeat("A", 35): false, "GB82WEST1234569876543é": false,
	} {
		require.Equal(t, want, normalize.ValidIBAN(s), s)
	}
}

func FuzzContainsCardNumber(f *testing.F) {
	for number := range publishedNumbers() {
		f.Add(number, " - ")
	}
	f.Add("", "4111-1111 1111.1111")
	f.Add("\xff４１１１", "x")
	f.Fuzz(func(t *testing.T, a, b string) {
		normalize.ContainsCardNumber(a + b)
		// A number in text that adds no digit and no separator at its borders is found.
		if !strings.ContainsFunc(a+b, func(r rune) bool { return r != 'x' && r != ',' }) &&
			!normalize.ContainsCardNumber(a+"x4111111111111111x"+b) {
			t.Fatalf("not found in %q and %q", a, b)
		}
		// And it is found whatever stands in front of a letter.
		if !normalize.ContainsCardNumber(a + "x4111 1111 1111 1111x" + b) {
			t.Fatalf("not found between %q and %q", a, b)
		}
	})
}

func FuzzParseMask(f *testing.F) {
	for _, s := range []string{"411111XXXXXX1111", "••••1111", "", "X", "1X2X3", "\xff", "4111111111111111"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		lead, trail := normalize.ParseMask(s)
		if strings.Trim(lead+trail, "0123456789") != "" {
			t.Fatalf("%q has parts %q and %q that are no digits", s, lead, trail)
		}
		if (lead != "" || trail != "") && (!strings.HasPrefix(s, lead) || !strings.HasSuffix(s, trail) || len(lead)+len(trail) >= len(s)) {
			t.Fatalf("%q does not begin with %q and end with %q around a mask", s, lead, trail)
		}
	})
}

func TestIsWrittenCardNumber(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "3782.822463.10005", "6304000000000000000", "4222222222222"} {
		require.True(t, normalize.IsWrittenCardNumber(s), s)
	}
	for _, s := range []string{
		"", "4111111111111112", "order-4111111111111111", "4111111111111111a", "7010000000016241111", "411111111111", "41111111111111111111111",
		"00000000-0000-0000-0000-000000000000", "４１１１１１１１１１１１１１１１",
	} {
		require.False(t, normalize.IsWrittenCardNumber(s), s)
	}
}
